"""Sound files that several tests write."""

import numpy as np
import soundfile

from tests.data.audio.sounds import tone, vowel

RATE = 8000


def folder_of_digits(folder, n=2, seconds=0.06):
    """`{digit}_{speaker}_{n}.wav` for 2 digits and 2 speakers, and what does not belong."""
    folder.mkdir(parents=True)
    for digit in (0, 1):
        for pitch, speaker in ((100, "ann"), (170, "bob")):
            for index in range(n):
                sound = 0.5 * vowel(seconds + 0.01 * index, RATE, pitch) + 0.2 * tone(
                    300 + 400 * digit + 10 * index, seconds + 0.01 * index, RATE
                )
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", sound, RATE)
    (folder / "notes.txt").write_text("not a sound")
    return folder


def strange_files(folder):
    """One file of each kind that a user can have; the names of those that cannot be read."""
    folder.mkdir(parents=True)
    sound = tone(440, 0.05, RATE)
    soundfile.write(folder / "silence_a_0.wav", np.zeros(400), RATE)
    soundfile.write(folder / "clipped_a_0.wav", np.clip(4 * sound, -1, 1), RATE)
    soundfile.write(folder / "stereo_a_0.wav", np.stack([0.8 * sound, 0.4 * sound], 1), RATE)
    soundfile.write(folder / "eight_a_0.wav", 0.5 * sound, RATE, subtype="PCM_U8")
    soundfile.write(folder / "float_a_0.wav", 3 * sound, RATE, subtype="FLOAT")
    soundfile.write(folder / "one_a_0.wav", sound[3:4], RATE)
    soundfile.write(folder / "flac_a_0.flac", 0.5 * sound, 44_100)
    soundfile.write(folder / "high_a_0.wav", 0.5 * sound, 96_000, subtype="PCM_24")
    (folder / "text_a_0.wav").write_text("this is no sound")
    (folder / "void_a_0.wav").write_bytes(b"")
    soundfile.write(folder / "none_a_0.wav", np.zeros(0), RATE)
    soundfile.write(folder / "nan_a_0.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    return {"text_a_0.wav", "void_a_0.wav", "none_a_0.wav", "nan_a_0.wav"}

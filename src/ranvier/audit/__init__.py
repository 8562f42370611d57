"""The library's conscience: are a network's gradients the slopes of its loss?"""

from ranvier.audit.check import check_gradients
from ranvier.audit.report import LayerReport, ParameterReport, Report

__all__ = ["LayerReport", "ParameterReport", "Report", "check_gradients"]

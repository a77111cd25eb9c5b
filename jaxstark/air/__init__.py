"""Writing AIRs: components, relations and the evaluators that run them."""

from jaxstark.air.debugger import Finding, find_violation
from jaxstark.air.definition import (
    Air,
    Component,
    Relation,
    component,
    first_row,
    last_row,
    row_index,
)

__all__ = [
    "Air",
    "Component",
    "Finding",
    "Relation",
    "component",
    "find_violation",
    "first_row",
    "last_row",
    "row_index",
]

"""The law: dated parameters, tariff and positive lists; tax, limits and quotes (pure, no database).

``load().on(day)`` is the law of a day; everything else takes such a law.
"""

from tongguan.policy.assess import Assessment, assess
from tongguan.policy.parameter import ParameterError, ParameterErrors, Value
from tongguan.policy.policy import Difference, Law, OutsideKnown, Policy, UnknownParameter, load
from tongguan.policy.positive_list import PositiveListEdition, read_positive_list
from tongguan.policy.tables import TableError, TableErrors
from tongguan.policy.tariff import (
    TariffEdition,
    format_consumption_tax,
    parse_consumption_tax,
    read_tariff,
)

__all__ = [
    "Assessment",
    "Difference",
    "Law",
    "OutsideKnown",
    "ParameterError",
    "ParameterErrors",
    "Policy",
    "PositiveListEdition",
    "TableError",
    "TableErrors",
    "TariffEdition",
    "UnknownParameter",
    "Value",
    "assess",
    "format_consumption_tax",
    "load",
    "parse_consumption_tax",
    "read_positive_list",
    "read_tariff",
]

"""The law: dated parameters, tariff and positive lists; tax, limits and quotes (pure, no database).

``load().on(day)`` is the law of a day; everything else takes such a law.
"""

from tongguan.policy.assess import Assessment, assess
from tongguan.policy.draft import Change, Draft, draft
from tongguan.policy.draft_file import DraftError, DraftErrors, Transition
from tongguan.policy.explanation import Basis, Step, explain
from tongguan.policy.goods_status import Declared, GoodsStatus, goods_status
from tongguan.policy.parameter import Parameter, ParameterError, ParameterErrors, Value
from tongguan.policy.policy import Difference, Law, OutsideKnown, Policy, UnknownParameter, load
from tongguan.policy.positive_list import PositiveListEdition, read_positive_list
from tongguan.policy.quote import Goods, Quote, QuoteErrors, quote
from tongguan.policy.tables import TableError, TableErrors
from tongguan.policy.tariff import (
    TariffEdition,
    format_consumption_tax,
    parse_consumption_tax,
    read_tariff,
)

__all__ = [
    "Assessment",
    "Basis",
    "Change",
    "Declared",
    "Difference",
    "Draft",
    "DraftError",
    "DraftErrors",
    "Goods",
    "GoodsStatus",
    "Law",
    "OutsideKnown",
    "Parameter",
    "ParameterError",
    "ParameterErrors",
    "Policy",
    "PositiveListEdition",
    "Quote",
    "QuoteErrors",
    "Step",
    "TableError",
    "TableErrors",
    "TariffEdition",
    "Transition",
    "UnknownParameter",
    "Value",
    "assess",
    "draft",
    "explain",
    "format_consumption_tax",
    "goods_status",
    "load",
    "parse_consumption_tax",
    "quote",
    "read_positive_list",
    "read_tariff",
]

"""A synthetic zone: seeded companies, buyers and parcels as real message files, with the outcome
each parcel must get.

The twin is the second opinion on the clearance: it reckons every outcome itself (exact fractions
from dated parameters and tariff rows) and never imports the room it is compared with.
"""

from tongguan.twin.compare import Difference, differences
from tongguan.twin.faults import FAULTS, VARIANTS
from tongguan.twin.life import LifeSummary, write_life
from tongguan.twin.write import Summary, write
from tongguan.twin.zone import Zone

__all__ = [
    "FAULTS",
    "VARIANTS",
    "Difference",
    "LifeSummary",
    "Summary",
    "Zone",
    "differences",
    "write",
    "write_life",
]

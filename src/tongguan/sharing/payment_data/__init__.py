"""Original payment data on demand (GACC notices 2018-165 and 2018-179), both sides.

``asking`` is customs' side: requests, their two minutes, uploads that are verified and kept.
``platform`` is a platform's side: it answers a request by a signed upload. ``protocol`` is what
they say to each other.
"""

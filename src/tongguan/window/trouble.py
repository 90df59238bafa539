"""Why a request is refused, as an exception that becomes a Problem."""

from collections.abc import Sequence
from http import HTTPStatus

from tongguan.window.answers import Finding, Limit, Problem


class Turned(Exception):  # noqa: N818 - a request that was turned away
    """A request is not answered as asked. retry_after: seconds, where a later try may succeed."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        limit: Limit | None = None,
        findings: Sequence[Finding] = (),
        retry_after: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            status=status,
            title=HTTPStatus(status).phrase,
            detail=detail,
            limit=limit,
            findings=list(findings) or None,
        )
        self.headers = list(headers)
        if retry_after is not None:
            self.headers.append(("Retry-After", str(retry_after)))

    @property
    def status(self) -> int:
        return self.problem.status


def over(status: int, name: str, most: int, actual: int | None, what: str) -> Turned:
    """A limit was met; what: the limit in words."""
    found = "" if actual is None else f", not {actual}"
    return Turned(
        status,
        f"at most {most} {what}{found} (limit {name})",
        limit=Limit(name=name, most=most, actual=actual),
        retry_after=1 if status in (429, 503) else None,
    )


def not_found(what: str) -> Turned:
    """Nothing of that id belongs to the caller; whether it is another's is not told."""
    return Turned(404, f"{what}: nothing of that number is yours")

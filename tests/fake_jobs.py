"""The jobs of a cluster that answers as a test says."""

from __future__ import annotations

from cifar_ray.submission.job_spec import JobSpec
from cifar_ray.submission.job_status import JobStatus

Look = tuple[str, str] | type[BaseException]


def job_status(state: str, **metadata: str) -> JobStatus:
    return JobStatus(
        submission_id="job-1", state=state, message="", entrypoint="", started_at_ms=None, metadata=metadata
    )


class FakeJobs:
    """Answers the looks one after the other, the last one for ever: a state and the log by then, or what is raised."""

    flags = ""

    def __init__(self, *looks: Look, **metadata: str) -> None:
        self.looks, self.metadata = list(looks), metadata
        self.num_stops = 0

    def submit(self, spec: JobSpec) -> str:
        return spec.submission_id

    def list(self) -> list[JobStatus]:
        return [self.status_of("RUNNING")]

    def status(self, submission_id: str) -> JobStatus:
        look = self.looks[0]
        if not isinstance(look, tuple):
            self._next()
            raise look("no Ray cluster answers")
        return self.status_of("STOPPED" if self.num_stops else look[0])

    def status_of(self, state: str) -> JobStatus:
        return job_status(state, **self.metadata)

    def logs(self, submission_id: str) -> str:
        look = self.looks[0]
        assert isinstance(look, tuple)
        self._next()
        return look[1]

    def stop(self, submission_id: str) -> bool:
        self.num_stops += 1
        return True

    def _next(self) -> None:
        if len(self.looks) > 1:
            self.looks.pop(0)

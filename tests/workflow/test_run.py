"""What is mended of Snakemake's scheduler."""

import threading

from snakemake.scheduling.job_scheduler import JobScheduler

from workflow.scripts.run import one_timer_at_a_time


class Scheduler:
    """As much of Snakemake's as it takes."""

    def __init__(self):
        self._open_jobs = threading.Semaphore(0)


def test_one_timer_waits_at_a_time_and_another_may_follow():
    assert callable(JobScheduler._schedule_reevalutation)  # what is replaced is still there
    one_timer_at_a_time(Scheduler)
    scheduler, before = Scheduler(), threading.active_count()
    for _ in range(5):
        scheduler._schedule_reevalutation(0.2)
    assert threading.active_count() == before + 1
    assert scheduler._open_jobs.acquire(timeout=5)
    assert not scheduler._open_jobs.acquire(timeout=0.5)  # the other four asked for nothing
    scheduler._schedule_reevalutation(0.01)
    assert scheduler._open_jobs.acquire(timeout=5)

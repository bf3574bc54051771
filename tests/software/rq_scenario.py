# SPDX-License-Identifier: MIT
"""RQ: queues as lists, registries as sorted sets, jobs as hashes; a worker that forks for each job."""
import os

from redis import Redis
from rq import Queue, Retry, Worker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry

import rq_jobs
from programs_tap import PORT, ok, run, same


def scenario():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    redis = Redis(port=PORT)
    queue = Queue("work", connection=redis)
    jobs = [queue.enqueue(rq_jobs.double, i) for i in range(20)]
    first = queue.enqueue(rq_jobs.double, 100)
    second = queue.enqueue(rq_jobs.after, depends_on=first)
    bad = queue.enqueue(rq_jobs.fail)
    tried = queue.enqueue(rq_jobs.fail, retry=Retry(max=2))
    same(len(queue), 23, "rq: jobs wait, and one for another")
    worker = Worker([queue], connection=redis)
    ok(worker.work(burst=True, logging_level="CRITICAL"), "rq: a worker does what there is")
    same([job.result for job in (Job.fetch(j.id, connection=redis) for j in jobs)], [2 * i for i in range(20)], "rq: results are kept")
    same(Job.fetch(second.id, connection=redis).result, "after", "rq: who waited for another ran")
    same(len(FinishedJobRegistry(queue=queue)), 22, "rq: what is finished is registered")
    failed = FailedJobRegistry(queue=queue)
    ok(set(failed.get_job_ids()) == {bad.id, tried.id}, "rq: what failed, too", failed.get_job_ids())
    ok("never" in (Job.fetch(bad.id, connection=redis).exc_info or ""), "rq: with its reason")
    failed.requeue(bad.id)
    same(queue.job_ids, [bad.id], "rq: and goes again")
    queue.empty()
    same(len(queue), 0, "rq: a queue is emptied")
    same(queue.delete(delete_jobs=True), None, "rq: and deleted")


run(scenario)

# SPDX-License-Identifier: MIT
"""What rq_scenario.py has done."""


def double(n):
    return 2 * n


def after():
    return "after"


def fail():
    raise ValueError("never")

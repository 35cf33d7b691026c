"""Medians, interleaving and intervals: what they are defined to be, without a clock where that is possible."""

from __future__ import annotations

import threading
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest

from fgvc_benchmarks.timing import ExactTimer, Sample, interleave, mean_sample, ratio_interval, settle, stopwatch


def test_stopwatch_tells_waiting_from_working() -> None:
    with stopwatch() as waited:
        time.sleep(0.1)
    assert waited.wall_s >= 0.1
    assert waited.cpu_s < 0.05
    with stopwatch() as worked:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert worked.cpu_s >= 0.1
    assert worked.wall_s >= 0.9 * worked.cpu_s  # one thread cannot use more processor time than wall-clock time


def test_settling_waits_for_threads_that_spin() -> None:
    end = time.perf_counter() + 0.3

    def spin() -> None:
        while time.perf_counter() < end:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    assert not settle(longest_s=0.1)
    assert settle(longest_s=5.0)
    assert time.perf_counter() >= end
    thread.join()


def test_exact_timer_adds_up_and_starts_anew() -> None:
    timer = ExactTimer()
    for milliseconds in (1.0, 2.5):
        timer.add("encode", milliseconds)
    timer.add("prepare", 4.0)
    assert timer.take() == pytest.approx({"encode": 0.0035, "prepare": 0.004})
    assert timer.take() == {}


def test_mean_of_repeats() -> None:
    samples = [Sample(1.0, 2.0, {"a": 0.5}), Sample(3.0, 4.0, {"a": 0.7})]
    mean = mean_sample(samples)
    assert (mean.wall_s, mean.cpu_s) == (2.0, 3.0)
    assert mean.stages == pytest.approx({"a": 0.6})


def test_every_round_runs_every_case_once_in_changing_order() -> None:
    runs = {name: partial(Sample, wall_s=ord(name)) for name in "abc"}
    taken = list(interleave(runs, dict.fromkeys("abc", 20)))
    rounds = ["".join(name for name, _ in taken[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 2
    assert all(sample.wall_s == ord(name) for name, sample in taken)
    assert [name for name, _ in interleave(runs, dict.fromkeys("abc", 20))] == [name for name, _ in taken]


def test_a_case_with_fewer_rounds_is_spread_over_the_run() -> None:
    runs = dict.fromkeys(("often", "seldom"), Sample)
    names = [name for name, _ in interleave(runs, {"often": 9, "seldom": 3})]
    assert Counter(names) == {"often": 9, "seldom": 3}
    places = [i for i, name in enumerate(names) if name == "seldom"]
    assert min(np.diff(places)) >= 3


def test_ratio_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for number in range(100):
        slow, fast = 1.2 * rng.lognormal(0, 0.1, 25), rng.lognormal(0, 0.1, 25)
        interval = ratio_interval(slow.tolist(), fast.tolist(), seed=number)
        assert interval.low <= interval.high
        hits += interval.low <= 1.2 <= interval.high
    # Binomial(100, .95) is below 85 with probability 1e-4; independent resampling of medians errs on the wide side.
    assert hits >= 85


def test_ratio_interval_is_seeded_and_exact_for_single_values() -> None:
    a, b = [1.0, 1.1, 1.3, 0.9], [2.0, 2.2, 1.9]
    assert ratio_interval(a, b) == ratio_interval(a, b)
    assert ratio_interval([3.0], [2.0]) == (1.5, 1.5, 1.5)
    assert ratio_interval(a, b).value == pytest.approx(1.05 / 2.0)

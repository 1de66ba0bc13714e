"""Breaks the program on purpose, one promise at a time: for each break a named test must fail (``make mutants``).

Each mutant is a change of the source and the test that kills it. All of it happens in copies of the tree in a temporary
folder. First every named test must pass unchanged; then each mutant is applied, and its test must fail. A mutant whose
text is not there any more, or not there once, is an error: it has to follow the source.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What the tests need of the tree.
NEEDED = ("db", "desktop_app", "resources", "scripts", "tests", "main.py", "pyproject.toml")
#: Copies that are worked on at the same time.
COPIES = 2

_CRASH = "tests/engine/test_crash_points.py::"
_ANY_POINT = f"{_CRASH}test_a_process_that_ends_at_any_point_bills_nothing_twice_and_loses_nothing"
_LEASES = "tests/engine/test_leases.py::"
_ENGINE = "tests/engine/test_engine.py::"
_SETTLING = "tests/engine/test_settling.py::"
_GROUP = "desktop_app/engine/group.py"
_PROCESSING = "desktop_app/association/processing.py"


@dataclass(frozen=True)
class Mutant:
    """One break.

    Attributes:
        what: in words.
        path: the file, from the root of the tree.
        old, new: the text that is replaced, which stands in the file exactly once.
        killed_by: the test that must fail.
    """

    what: str
    path: str
    old: str
    new: str
    killed_by: str


MUTANTS = (
    Mutant(
        "no intent before the POST",
        _GROUP,
        "            if is_post:\n                before =",
        "            if False:\n                before =",
        f"{_ANY_POINT}[after-post-201-sqlite]",
    ),
    Mutant(
        "the intent's commit moved behind the call: until then it is in memory alone",
        _GROUP,
        "                draft.set(\n                    call.step,\n                    StepRow(\n",
        "                draft.steps.__setitem__(\n                    call.step,\n                    StepRow(\n",
        f"{_ANY_POINT}[after-post-201-sqlite]",
    ),
    Mutant(
        "the outcome's commit moved before the call",
        _GROUP,
        "                        StepState.INTENT,\n",
        "                        StepState.DONE,\n",
        f"{_ANY_POINT}[before-post-201-sqlite]",
    ),
    Mutant(
        "no settle wait after an answer that was not clear",
        _PROCESSING,
        "check_at=now + rules.settle,",
        "check_at=now,",
        f"{_CRASH}test_the_same_holds_later_in_a_job[2-before-post-sqlite]",
    ),
    Mutant(
        "no settle wait after a process that ended",
        "desktop_app/engine/housekeeping.py",
        "taking_back.take_back(uow, uow.now() + rules.settle,",
        "taking_back.take_back(uow, uow.now(),",
        f"{_CRASH}test_what_was_sent_at_the_end_of_a_lease_is_searched_for_after_the_settle_time[sqlite]",
    ),
    Mutant(
        "no epoch in what the recorder writes",
        "db/work.py",
        '        _wo.engine_id == bindparam("engine"),\n        _wo.lease_epoch == bindparam("epoch"),\n',
        '        _wo.engine_id == bindparam("engine"),\n        bindparam("epoch") == bindparam("epoch"),\n',
        f"{_LEASES}test_an_answer_of_an_earlier_lease_of_the_same_engine_changes_nothing[sqlite]",
    ),
    Mutant(
        "no epoch where local effects are applied",
        "db/effects.py",
        '            _wo.engine_id == bindparam("engine"),\n            _wo.lease_epoch == bindparam("epoch"),\n',
        '            _wo.engine_id == bindparam("engine"),\n            bindparam("epoch") == bindparam("epoch"),\n',
        "tests/db/test_effects.py::test_a_lease_that_is_not_held_applies_nothing[sqlite-an older epoch]",
    ),
    Mutant(
        "an answer of an earlier lease taken for one of this lease on the same work order",
        _GROUP,
        "            if lease not in held:\n",
        "            if lease.work_order_id not in {each.work_order_id for each in held}:\n",
        f"{_LEASES}test_answers_of_an_earlier_and_of_this_lease_in_one_group_make_one_post[sqlite]",
    ),
    Mutant(
        "take-back without a new epoch",
        "db/taking_back.py",
        "what_to_do=problem.what_to_do, lease_epoch=_wo.lease_epoch + 1,",
        "what_to_do=problem.what_to_do,",
        f"{_LEASES}test_what_is_taken_back_has_a_new_epoch[sqlite]",
    ),
    Mutant(
        "the lease not tested right before sending",
        "desktop_app/engine/runner.py",
        "        refused_here = is_stopping() or not in_hand.lease.outlives(timeout_s)\n",
        "        refused_here = is_stopping()\n",
        f"{_LEASES}test_a_lease_that_ends_while_the_connection_is_made_is_not_posted_on[sqlite]",
    ),
    Mutant(
        "the search's answer ignored",
        _PROCESSING,
        "decision = resolve_service(attempt, result.services)",
        "decision = resolve_service(attempt, ())",
        f"{_ENGINE}test_an_unknown_outcome_is_asked_for_before_anything_is_posted_again[sqlite-it was made]",
    ),
    Mutant(
        "the product search's answer ignored",
        _PROCESSING,
        "decision = resolve_product(attempt, result.products)",
        "decision = resolve_product(attempt, ())",
        "tests/association/test_processing.py::test_what_the_products_at_billing_say_after_a_post",
    ),
    Mutant(
        "a number alone adopted",
        _PROCESSING,
        "    ours = [service for service in found if service.reference == terms.reference]\n",
        "    ours = [service for service in found if terms.number == service.number]\n",
        f"{_ENGINE}test_a_service_of_the_number_that_is_not_ours_is_a_persons_decision[sqlite]",
    ),
    Mutant(
        "one of two candidates adopted",
        _PROCESSING,
        "    if len(ours) == 1 and not by_number:\n",
        "    if ours:\n",
        "tests/association/test_processing.py::test_what_the_services_at_billing_say",
    ),
    Mutant(
        "counters not moved",
        _GROUP,
        "        self.counters.moved(one.order.job_id, WorkOrderState.RUNNING, state)\n",
        "",
        f"{_CRASH}test_the_same_holds_later_in_a_job[2-before-post-sqlite]",
    ),
    Mutant(
        "posted for ever without a clear answer",
        _PROCESSING,
        "    if limit is None:\n        return absent\n",
        "    return absent\n",
        "tests/association/test_processing.py::test_what_never_gets_a_clear_answer_is_given_up_at_the_limits",
    ),
    Mutant(
        "a billing company that breaks at every order hammered",
        "desktop_app/engine/breaker.py",
        "        return self.is_open(credential_id)\n",
        "        return False\n",
        "tests/engine/test_breaker.py::"
        "test_a_company_that_breaks_at_every_order_is_not_hammered_and_no_device_fails[sqlite]",
    ),
    Mutant(
        "one call too many held against the device",
        _PROCESSING,
        "    decision = decision._replace(counts=False)\n    wait_s",
        "    wait_s",
        "tests/engine/test_too_many_calls.py::test_however_often_billing_takes_no_further_call_no_device_fails[sqlite]",
    ),
    Mutant(
        "Retry-After ignored",
        "desktop_app/association/retry.py",
        "    return now + wait + timedelta(seconds=max(0.0, retry_after_s or 0.0))\n",
        "    return now + wait\n",
        "tests/association/test_retry.py::test_a_transient_error_is_tried_again_later",
    ),
    Mutant(
        "a call too many is made again at the same pace for ever",
        _PROCESSING,
        "    at = later(attempt.intents, now,",
        "    at = later(1, now,",
        "tests/engine/test_too_many_calls.py::test_one_that_is_refused_for_long_is_asked_for_seldom",
    ),
    Mutant(
        "what may be at billing is cancelled with its job",
        _GROUP,
        "            and not any(map(is_open, draft.steps.values()))\n",
        "",
        f"{_SETTLING}test_what_may_be_at_billing_is_never_cancelled_by_a_search_that_came_to_nothing[sqlite]",
    ),
    Mutant(
        "a cancelled job keeps its devices until the quota is there again",
        _GROUP,
        "frozenset({WorkOrderState.QUEUED, WorkOrderState.WAITING_RETRY})",
        "frozenset({WorkOrderState.WAITING_RETRY})",
        f"{_SETTLING}test_a_call_that_came_to_nothing_is_cancelled_with_its_job[sqlite-the quota is used up]",
    ),
    Mutant(
        "a notification gone from the outbox before it was taken",
        "db/outbox.py",
        ".values(claimed_until=claimed_until)",
        '.values(claimed_until=claimed_until, state="sent")',
        "tests/db/test_outbox.py::test_an_event_whose_sender_died_is_sent_again_when_its_claim_has_run_out[sqlite]",
    ),
    Mutant(
        "a retry posts again for a device that was billed and not associated",
        _GROUP,
        "        call = next_call(terms, draft.steps, one.not_sent_before)\n",
        "        call = next_call(terms, {}, one.not_sent_before)\n",
        f"{_ENGINE}test_one_device_whose_data_break_a_rule_fails_alone[sqlite-True]",
    ),
    Mutant(
        "the threshold never crossed",
        "db/counters.py",
        "            if failed > 0:\n",
        "            if failed < 0:\n",
        "tests/db/test_threshold.py::test_over_the_threshold_the_job_pauses_and_names_the_causes[sqlite]",
    ),
    Mutant(
        "a pause not obeyed between two steps",
        _GROUP,
        "        elif self._is_stopped(job_id):\n",
        "        elif job_id in self.pauses:\n",
        "tests/engine/test_recording.py::test_a_pause_between_two_steps_is_obeyed[sqlite]",
    ),
    Mutant(
        "a cancel drops calls in flight",
        _GROUP,
        "            if isinstance(item, Outcome):\n                self._decide(draft, item.result)\n",
        "            if isinstance(item, Outcome) and not self._is_cancelled(one.order.job_id):\n"
        "                self._decide(draft, item.result)\n",
        f"{_ENGINE}test_cancel_ends_what_is_not_begun_and_says_what_stays_done[sqlite]",
    ),
    Mutant(
        "a send that waits after its last look at the time",
        "desktop_app/billing/wire.py",
        "            self.settimeout(0)\n",
        "            self.settimeout(exchange.left())\n",
        "tests/billing/test_transport.py::test_nothing_waits_between_the_last_look_at_the_time_and_the_send",
    ),
    Mutant(
        "what a cancelled job has to ask billing goes back into the queue for ever",
        _GROUP,
        "(job_id in self.cancelled and not one.asks_what_is_open)\n",
        "job_id in self.cancelled\n",
        "tests/engine/test_state_machine.py::test_a_cancelled_job_asks_once_for_what_is_open_and_ends[sqlite]",
    ),
    Mutant(
        "a scheduled change applied although its ownership has ended",
        "db/schedule.py",
        '    gone = [row.id for row in rows if row.state == "ended" or row.is_deleted]\n',
        "    gone = [row.id for row in rows if row.is_deleted]\n",
        "tests/db/test_schedule.py::test_a_change_of_an_ownership_that_is_gone_is_dropped_and_said[sqlite-gone0]",
    ),
)


# --- the tree --------------------------------------------------------------------------------------------------------


class DoesNotApply(Exception):
    """The text of a mutant is not in its file, or not just once."""


def copy_of_the_tree(folder: Path) -> Path:
    """A copy of what is needed; with its compiled files, which are valid as long as their source does not change."""
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy2(source, folder / name)
    return folder


def mutated(text: str, mutant: Mutant) -> str:
    """The file's text with the break in it.

    Raises:
        DoesNotApply: see there.
    """
    if text.count(mutant.old) != 1:
        raise DoesNotApply(f"{mutant.path} has the text of “{mutant.what}” {text.count(mutant.old)} times, not once.")
    return text.replace(mutant.old, mutant.new)


def run_tests(tree: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Runs these tests in the tree; the exit code is pytest's: 0 all passed, 1 some failed, all else is an error."""
    # whatever their marks: pytest leaves out what is slow even where it is named
    options = ["-q", "-x", "-m", "", "-p", "no:cacheprovider", "--no-showlocals"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def killed(tree: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether the test fails with the break in the tree, and what it said; the tree is whole again afterwards."""
    path = tree / mutant.path
    before = path.read_text(encoding="utf-8")
    path.write_text(mutated(before, mutant), encoding="utf-8")
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)  # told apart by whole seconds and size alone
    try:
        done = run_tests(tree, mutant.killed_by)
    finally:
        path.write_text(before, encoding="utf-8")
    return done.returncode == 1, done.stdout + done.stderr


# --- the run ---------------------------------------------------------------------------------------------------------


def check_all(mutants: tuple[Mutant, ...], folder: Path) -> list[str]:
    """Tries every mutant and says how it went; what is wrong, in words."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    wrong: list[str] = []

    def work(number: int) -> None:
        tree = copy_of_the_tree(folder / str(number))
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            begun = time.monotonic()
            is_killed, said = killed(tree, mutant)
            verdict = "killed" if is_killed else "SURVIVED"
            print(f"{verdict:<9}{mutant.what} ({time.monotonic() - begun:.0f} s)", flush=True)
            if not is_killed:
                wrong.append(f"“{mutant.what}” was not killed by {mutant.killed_by}:\n{said[-2_000:]}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(COPIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def main() -> int:
    """0: every mutant applied and was killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("only", nargs="?", default="", help="only mutants with this in their words")
    asked = parser.parse_args()
    chosen = tuple(mutant for mutant in MUTANTS if asked.only in mutant.what)
    for mutant in chosen:
        mutated((ROOT / mutant.path).read_text(encoding="utf-8"), mutant)
    with tempfile.TemporaryDirectory(prefix="desk-mutants-") as name:
        whole = copy_of_the_tree(Path(name) / "whole")
        unchanged = run_tests(whole, *dict.fromkeys(mutant.killed_by for mutant in chosen))
        if unchanged.returncode != 0:
            print(f"The tests do not pass on the unchanged tree:\n{unchanged.stdout[-4_000:]}{unchanged.stderr}")
            return 1
        wrong = check_all(chosen, Path(name))
    print("\n".join(wrong) or f"{len(chosen)} mutants, all killed by the test that was named.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

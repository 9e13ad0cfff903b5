"""A training whose workers, network and clock are simulated, around the real roster and order.

A step is what the trainer makes of it: its ranks compute, agree whether somebody waits, and take it
once all are there. One that loses a rank may be taken by some and not by others, who then get the
state of those when they meet.
"""

from __future__ import annotations

import heapq
import itertools
import random

from deepseek_parallel import Order
from deepseek_parallel.elastic.roster import Roster, Rules

BEAT_S, LOST_AFTER_S, BATCH = 0.2, 1.0, 7


class Worker:
    """`taken` are the (position, count) of the steps that its state has in it."""

    def __init__(self, name):
        self.name, self.taken = name, []
        self.epoch, self.members, self.state = 0, (), "joining"
        self.is_alive, self.hung_until_s, self.heard_change = True, 0.0, False
        self.end, self.is_ready = None, False

    @property
    def position(self):
        return sum(count for _, count in self.taken)


class Run:
    """A run up to position `goal`; `draw` says all that is left to chance."""

    def __init__(self, seed, *, length=50, goal=200, most=4, start=3):
        self.draw, self.now_s, self.order = random.Random(seed), 0.0, Order(length, seed)
        self.goal, self.rules = goal, Rules(
            least=1, most=most, first=start, lost_after_s=LOST_AFTER_S
        )  # fmt: skip
        self.roster, self.is_roster_up = Roster(rules=self.rules, start_s=0.0), True
        self.events, self.count = [], itertools.count()
        self.workers, self.last_s = {}, {}
        self.memberships, self.num_lost = [], 0
        for _ in range(start):
            self.join()
        self.every(0.05, lambda: self.is_roster_up and self.deliver(self.roster.tick(self.now_s)))

    # time and messages

    def at(self, delay_s, deed):
        heapq.heappush(self.events, (self.now_s + delay_s, next(self.count), deed))

    def every(self, period_s, deed):
        def again():
            deed()
            self.at(period_s, again)

        self.at(period_s, again)

    def run(self, limit_s):
        """Go on until nobody is left who trains."""
        while self.events and self.now_s < limit_s:
            if not any(w.is_alive and w.end is None for w in self.workers.values()):
                return
            self.now_s, _, deed = heapq.heappop(self.events)
            deed()

    def in_order(self, link, deed):
        """After what was sent on the same link before."""
        when_s = max(self.now_s + self.draw.uniform(1e-4, 5e-3), self.last_s.get(link, 0.0))
        self.last_s[link] = when_s
        self.at(when_s - self.now_s, deed)

    def tell(self, worker, ask):
        """The roster gets a worker's message, unless it is down or another one then."""
        roster = self.roster
        self.in_order(
            (worker.name, "up"),
            lambda: self.is_roster_up and self.roster is roster
            and self.deliver(ask(self.roster)),
        )  # fmt: skip

    def deliver(self, messages):
        for name, message in messages:
            worker = self.workers[name]
            if message["kind"] == "formed" and message["epoch"] not in dict(self.memberships):
                self.memberships.append((message["epoch"], tuple(message["members"])))
            self.in_order((name, "down"), lambda w=worker, m=message: self.hear(w, m))

    # what a worker does

    def join(self):
        worker = Worker(f"w{len(self.workers)}")
        self.workers[worker.name] = worker
        self.greet(worker)
        self.every(BEAT_S, lambda: self.beat(worker))
        return worker

    def greet(self, worker):
        if worker.epoch:
            known = {
                "epoch": worker.epoch,
                "members": worker.members,
                "waits": worker.state == "waiting",
            }
            self.tell(worker, lambda r: r.back(worker.name, "", "1", known, self.now_s))
        else:
            self.tell(worker, lambda r: r.join(worker.name, "", "1", self.now_s))

    def is_awake(self, worker):
        return worker.is_alive and worker.end is None and worker.hung_until_s <= self.now_s

    def beat(self, worker):
        if self.is_awake(worker):
            self.tell(worker, lambda r: r.beat(worker.name, self.now_s))

    def hear(self, worker, message):
        if not worker.is_alive or worker.end is not None:
            return
        if worker.hung_until_s > self.now_s:
            self.at(worker.hung_until_s - self.now_s, lambda: self.hear(worker, message))
            return
        kind = message["kind"]
        if kind == "formed" and message["epoch"] > worker.epoch:
            worker.epoch, worker.members = message["epoch"], tuple(message["members"])
            worker.heard_change, worker.is_ready = False, False
            self.arrive(worker, "meeting")
        elif kind == "changed" and message["epoch"] == worker.epoch:
            worker.heard_change = True
        elif kind == "broken" and message["epoch"] == worker.epoch:
            self.ask_for_next(worker)
        elif kind in ("out", "over", "refused", "other_code"):
            worker.end = kind

    def ask_for_next(self, worker):
        if worker.state != "waiting" and self.is_awake(worker):
            worker.state, epoch = "waiting", worker.epoch
            self.tell(worker, lambda r: r.renew(worker.name, epoch, self.now_s))

    def arrive(self, worker, state):
        """Come to a collective; the last one lets all go on."""
        worker.state = state
        others = [self.workers[name] for name in worker.members]
        if any(not w.is_alive or w.end is not None for w in others):
            self.at(0.01, lambda: self.fail(worker, worker.epoch))
        elif all(w.epoch == worker.epoch and w.state == state for w in others):
            end = self.meet if state == "meeting" else self.step
            end(others)

    def fail(self, worker, epoch):
        if worker.epoch == epoch and worker.state in ("meeting", "stepping"):
            self.ask_for_next(worker)

    def meet(self, others):
        farthest = max(others, key=lambda w: w.position)
        there = [w.position for w in self.alive() if self.is_awake(w)]
        self.num_lost += farthest.position < max(there)
        for worker in others:
            worker.taken = list(farthest.taken)
            self.later(worker, "computing", self.compute)

    def compute(self, worker):
        if not worker.is_ready:
            worker.is_ready, epoch = True, worker.epoch
            self.tell(worker, lambda r: r.ready(worker.name, epoch))
        if worker.position >= self.goal:
            worker.end = "finished"
            self.tell(worker, lambda r: r.leave(worker.name, self.now_s))
        else:
            self.arrive(worker, "stepping")

    def step(self, others):
        if any(worker.heard_change for worker in others):
            for worker in others:
                worker.state = "taken"
                self.later(worker, "taken", self.ask_for_next)
            return
        for worker in others:
            self.later(worker, "stepping", self.take, most_s=0.02)

    def take(self, worker):
        is_one_lost = any(not self.workers[name].is_alive for name in worker.members)
        if is_one_lost and self.draw.random() < 0.5:  # before it had got all
            self.ask_for_next(worker)
            return
        count = min(BATCH, self.goal - worker.position)
        worker.taken.append((worker.position, count))
        self.later(worker, "computing", self.compute)

    def later(self, worker, state, deed, most_s=0.1):
        worker.state, epoch = state, worker.epoch

        def done():
            if worker.epoch != epoch or worker.state != state or not worker.is_alive:
                return
            if worker.hung_until_s > self.now_s:
                self.at(worker.hung_until_s - self.now_s, done)
            elif worker.end is None:
                deed(worker)

        self.at(self.draw.uniform(0.0, most_s), done)

    # what goes wrong

    def kill(self, worker):
        worker.is_alive = False
        self.in_order(
            (worker.name, "up"),
            lambda: self.is_roster_up and self.deliver(self.roster.gone(worker.name, self.now_s)),
        )
        for name in worker.members:
            other = self.workers[name]
            if other is not worker:
                self.at(0.01, lambda w=other, e=worker.epoch: self.fail(w, e))

    def hang(self, worker, seconds):
        worker.hung_until_s = self.now_s + seconds

    def restart_roster(self, seconds):
        """Kill the roster, and start another one after a while."""
        self.is_roster_up = False

        def up():
            import attrs

            rules = attrs.evolve(self.rules, quiet_s=LOST_AFTER_S)
            self.roster, self.is_roster_up = Roster(rules=rules, start_s=self.now_s), True
            for worker in self.alive():
                after_s = max(0.0, worker.hung_until_s - self.now_s) + self.draw.uniform(0, 0.1)
                self.at(after_s, lambda w=worker: w.is_alive and self.greet(w))

        self.at(seconds, up)

    def alive(self):
        return [w for w in self.workers.values() if w.is_alive and w.end is None]

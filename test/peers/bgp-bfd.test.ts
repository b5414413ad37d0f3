import { afterEach, expect, it } from 'vitest';
import type { Daemon } from '../support/daemons.ts';
import { bird, frr, netns, pause, speak, tidy } from '../support/bgp.ts';
import type { TestNetns } from '../support/netns.ts';
import { until } from '../support/netns.ts';

afterEach(tidy);

const BIRD_BFD = `protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 200 ms; multiplier 3; };
  multihop { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 200 ms; multiplier 3; }; }`;
const FRR_BFD = 'neighbor PEER bfd 3 100 100';

interface Case {
  readonly name: string;
  readonly start: (ns: TestNetns) => Promise<Daemon>;
  readonly multihop: boolean;
  /** Whoever must stand still for BFD to fall silent: the process that speaks it. */
  readonly speaking: (daemon: Daemon, ns: TestNetns) => number;
}

const bfdd = (_daemon: Daemon, ns: TestNetns): number =>
  Number(
    ns.exec('sh', [
      '-c',
      `for pid in $(ip netns pids ${ns.name}); do grep -qs '^bfdd$' /proc/$pid/comm && echo $pid; done; true`,
    ]),
  );

const cases: readonly Case[] = [
  {
    name: 'BIRD',
    multihop: false,
    start: (ns) => bird(ns, { global: BIRD_BFD, neighbour: 'bfd on;' }),
    speaking: ({ child }) => child.pid!,
  },
  {
    name: 'BIRD, multihop',
    multihop: true,
    start: (ns) => bird(ns, { global: BIRD_BFD, neighbour: 'multihop 3; bfd on;' }),
    speaking: ({ child }) => child.pid!,
  },
  { name: 'FRR', multihop: false, start: (ns) => frr(ns, { neighbour: FRR_BFD }, ['bfdd']), speaking: bfdd },
];

it.each(cases)(
  '$name: up at 3 × 100 ms through a main thread that blocks; down within detection time + 1 interval after it stops',
  async ({ start, speaking, multihop }) => {
    const ns = netns();
    const daemon = await start(ns);
    const { speaker } = await speak(ns, {
      bfd: { interval: 100, multiplier: 3 },
      ...(multihop ? { multihop: true } : {}),
    });
    const states: { readonly at: number; readonly reason: string }[] = [];
    speaker.events$.subscribe(({ type, reason }) => {
      if (type === 'bfd' || type === 'down') states.push({ at: performance.now(), reason });
    });
    await until('BFD', () => speaker.peers()[0]?.bfd === 'up' && speaker.peers()[0]?.state === 'established');
    // The slow rate of the beginning gives way to the negotiated one by a poll sequence.
    await pause(1500);

    // Ten turns of 400 ms: longer than the detection time, each.
    const before = states.length;
    for (let turn = 0; turn < 10; turn++) {
      const end = performance.now() + 400;
      while (performance.now() < end);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(states.slice(before)).toEqual([]);
    expect(speaker.peers()[0]?.bfd).toBe('up');

    const pid = speaking(daemon, ns);
    const stopped = performance.now();
    process.kill(pid, 'SIGSTOP');
    try {
      await until('the end of the session', () => states.some(({ reason }) => reason.includes('BFD went down')), 5000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const took = states.find(({ reason }) => reason.includes('BFD is down'))!.at - stopped;
    expect(took).toBeGreaterThan(200);
    expect(took).toBeLessThan(300 + 100 + 50);
    await until('BFD again', () => speaker.peers()[0]?.bfd === 'up');
  },
);

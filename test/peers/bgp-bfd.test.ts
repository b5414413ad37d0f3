import { afterEach, expect, it } from 'vitest';
import { createSpeaker } from 'kube-router-sdk/bgp';
import { startBird } from '../support/daemons.ts';
import { createTestNetns, until } from '../support/netns.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

it('BIRD: up at 3 × 100 ms through a main thread that blocks; down within detection time + 1 interval after BIRD stops', async () => {
  const ns = createTestNetns('krbd');
  cleanups.push(() => ns.close());
  const bird = await startBird(
    ns,
    `router id 10.0.0.254;
protocol device {}
protocol direct { ipv4; }
protocol bfd { interface "*" { min rx interval 100 ms; min tx interval 100 ms; idle tx interval 200 ms; multiplier 3; }; }
protocol bgp speaker {
  local ${ns.there4} as 65000; neighbor ${ns.here4} as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2; bfd on;
  ipv4 { import all; export all; };
}
`,
  );
  cleanups.push(() => bird.close());
  const speaker = await createSpeaker({
    asn: 65001,
    routerId: '10.0.0.1',
    listen: [{ address: ns.here4, port: 179 }],
    peers: [{ address: ns.there4, asn: 65000, connectRetryTime: 1, bfd: { interval: 100, multiplier: 3 } }],
  });
  cleanups.push(() => speaker.close());
  const states: { readonly at: number; readonly reason: string }[] = [];
  speaker.events$.subscribe(({ type, reason }) => {
    if (type === 'bfd' || type === 'down') states.push({ at: performance.now(), reason });
  });
  await until('BFD', () => speaker.peers()[0]?.bfd === 'up' && bird.ask('show bfd sessions').includes('Up'));

  // Ten turns of 400 ms: longer than the detection time, each.
  const before = states.length;
  for (let turn = 0; turn < 10; turn++) {
    const end = performance.now() + 400;
    while (performance.now() < end);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(states.slice(before)).toEqual([]);
  expect(bird.ask('show bfd sessions')).toContain('Up');

  const stopped = performance.now();
  process.kill(bird.child.pid!, 'SIGSTOP');
  await until('the end of the session', () => states.some(({ reason }) => reason.includes('BFD went down')), 5000);
  const took = states.find(({ reason }) => reason.includes('BFD is down'))!.at - stopped;
  process.kill(bird.child.pid!, 'SIGCONT');
  expect(took).toBeLessThan(300 + 100 + 50);
  await until('BFD again', () => speaker.peers()[0]?.bfd === 'up');
});

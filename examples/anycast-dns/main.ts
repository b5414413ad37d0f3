/**
 * Anycast DNS: this machine announces the service address while its own resolver answers, and withdraws it when three questions in
 * a row stay without an answer. Health is a stream, and what is announced is a function of it.
 * `node main.ts SERVICE-PREFIX RESOLVER ROUTER ROUTER-ASN`
 */
import { Resolver } from 'node:dns/promises';
import { distinctUntilChanged, exhaustMap, map, scan, timer } from 'rxjs';
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { Advertisement } from 'kube-router-sdk/net';

const [prefix = '203.0.113.53/32', server = '127.0.0.1:5353', router = '192.0.2.254', asn = '65000'] =
  process.argv.slice(2);
const resolver = new Resolver({ timeout: 200, tries: 1 });
resolver.setServers([server]);

const answers = (): Promise<boolean> =>
  resolver.resolve4('health.example').then(
    (addresses) => addresses.length > 0,
    () => false,
  );

const healthy$ = timer(0, 300).pipe(
  exhaustMap(answers),
  // up at the first answer, down after three silent questions
  scan((state, good) => (good ? { up: true, bad: 0 } : { up: state.up && state.bad < 2, bad: state.bad + 1 }), {
    up: false,
    bad: 0,
  }),
  map(({ up }) => up),
  distinctUntilChanged(),
);

await using speaker = await createSpeaker({
  asn: 64512,
  routerId: '192.0.2.1',
  peers: [{ address: router, asn: Number(asn) }],
});
speaker.announce(
  healthy$.pipe(
    map((up): readonly Advertisement[] => {
      console.log(up ? `${server} answers: announcing ${prefix}` : `${server} is silent: withdrawing ${prefix}`);
      return up ? [{ prefix, origin: 'vip' }] : [];
    }),
  ),
);
await new Promise((resolve) => process.once('SIGTERM', resolve));

/**
 * Highly available ingress under load, in user-mode Linux: a router with ECMP, three directors, one VIP, six pods, DSR. A director dies
 * without warning and comes back; with `mh` that breaks nothing, and `rr` in the same run shows what it would cost. Once with BIRD,
 * once with FRR as the router, each with BFD. Claims T2 to T5 of the project are here by name.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

type Short = readonly [at: number, seconds: number, ok: boolean, who: string];
interface Failover {
  readonly longBefore: number;
  readonly longAfterDeath: number;
  readonly longAfterReturn: number;
  readonly errors: readonly string[];
  readonly shorts: number;
  readonly rate: number;
  readonly gapSeconds: number;
  readonly reroutedSeconds: number;
  readonly lostInGap: number;
  readonly failedAfterReroute: readonly Short[];
  readonly failedAfterReturn: readonly Short[];
  readonly returnSeconds: number;
  readonly clients: readonly string[];
  readonly pods: readonly string[];
  readonly mss: readonly number[];
}
interface LongState {
  readonly pod: string;
  readonly error: string;
}
interface Answer {
  readonly same: readonly (readonly string[])[];
  readonly cluster: { readonly hops: number; readonly answers: readonly string[] };
  readonly scaled: {
    readonly before: readonly LongState[];
    readonly after: readonly LongState[];
    readonly shorts: readonly Short[];
  };
  readonly large: {
    readonly sent: readonly number[];
    readonly back: readonly number[];
    readonly mss: readonly number[];
    readonly fragments: number;
  };
  readonly kernel: string;
  readonly load: {
    readonly rate: number;
    readonly tried: readonly { readonly rate: number; readonly seconds: number; readonly failed: number }[];
  };
  readonly mh: Failover;
  readonly rr: Failover;
  readonly counters: readonly { readonly what: string; readonly packets: number }[];
  readonly issues: readonly unknown[];
  readonly failed: readonly unknown[];
}

const BFD_MS = Number(process.env['BFD_MS'] ?? 300);
/** Detection time: three intervals without a packet (RFC 5880 section 6.8.4). */
const DETECTION = (3 * BFD_MS) / 1000;
const LONG = 200;

function table(kind: string, { kernel, load: { rate }, mh, rr }: Answer): string {
  const row = (name: string, one: Failover): string =>
    `  ${name}: rerouted after ${one.reroutedSeconds.toFixed(2)} s (last lost SYN at ${one.gapSeconds.toFixed(2)} s; detection ${DETECTION} s), ` +
    `long-lived broken ${LONG - one.longAfterDeath} by the death and ${one.longAfterDeath - one.longAfterReturn} by the return of ${LONG}, ` +
    `short failed after rerouting ${one.failedAfterReroute.length} and after the return ${one.failedAfterReturn.length} of ${one.shorts} at ${one.rate.toFixed(0)}/s, ` +
    `path back ${one.returnSeconds.toFixed(1)} s after power`;
  return `${kind}, kernel ${kernel}, BFD 3 × ${BFD_MS} ms, ${rate} short connections a second:\n${row('mh', mh)}\n${row('rr', rr)}`;
}

describe.each(['BIRD', 'FRR'])('with %s as the router', (kind) => {
  let answer: Answer;
  beforeAll(async () => {
    const result = await runInUml({
      name: `krr-ha-${kind}`,
      memMb: 3000,
      timeoutMs: 890_000,
      modules: [
        'ipip',
        'ip_vs_mh',
        'ip_vs_rr',
        'bridge',
        'br_netfilter',
        'ip_set_hash_ip',
        'ip_set_hash_net',
        'xt_set',
      ],
      node: {
        file: new URL('guests/routing-ingress.ts', import.meta.url).pathname,
        args: [kind, String(BFD_MS), ...(process.env['RATES'] === undefined ? [] : [process.env['RATES']])],
      },
    });
    answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
    console.log(table(kind, answer));
  }, 900_000);

  test('everything is programmed without an issue', () => {
    expect(answer.issues).toEqual([]);
    expect(answer.failed).toEqual([]);
  });

  test('T3: the same flow through any of the three directors is answered by the same pod, and every pod has its share', () => {
    const [one = [], two, three] = answer.same;
    expect(one).toHaveLength(60);
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect([...new Set(one)].sort()).toEqual([1, 2, 3, 4, 5, 6].map((index) => `p${index} 198.18.0.2`));
  });

  test('T4: replies go past the directors; the pods see the client; segments fit and nothing is fragmented', () => {
    const packets = (what: string): number[] =>
      answer.counters.filter((one) => one.what === what).map((one) => one.packets);
    expect(packets('replies')).toEqual([0, 0, 0]);
    for (const count of packets('requests')) expect(count).toBeGreaterThan(1000);
    expect(answer.mh.clients).toEqual(['198.18.0.2']);
    // 1,500 bytes less two IPv4 headers, a TCP header and its timestamps.
    for (const mss of [...answer.large.mss, ...answer.mh.mss]) expect(mss).toBeLessThanOrEqual(1500 - 20 - 40);
    // Large messages came back whole; what came back after them are the small ones of every second.
    for (const [index, sent] of answer.large.sent.entries()) {
      expect(sent).toBeGreaterThan(20_000);
      expect(answer.large.back[index]).toBeGreaterThanOrEqual(sent);
    }
    expect(answer.large.fragments).toBe(0);
  });

  test('T7: a host outside reaches the ClusterIP through any director, which answers for pods of other nodes', () => {
    expect(answer.cluster.hops).toBe(3);
    expect(answer.cluster.answers).toHaveLength(24);
    // The pod sees the director: its reply has to come back that way to be translated.
    for (const one of answer.cluster.answers) expect(one).toMatch(/^p[1-6] 10\.0\.0\.[123]$/);
  });

  test('T5: four pods become six; no connection notices, and the new ones are used', () => {
    const { before, after, shorts } = answer.scaled;
    expect(new Set(before.map(({ pod }) => pod.split(' ')[0])).size).toBe(4);
    expect(after.map(({ error }) => error)).toEqual(before.map(() => ''));
    expect(shorts.filter(([, , ok]) => !ok)).toEqual([]);
    expect(shorts.length).toBeGreaterThan(300);
    expect(new Set(shorts.map(([, , , who]) => who.split(' ')[0])).size).toBe(6);
  });

  test('headline: the rig carries its rate for 30 s without a failure', () => {
    expect(answer.load.tried.at(-1)).toMatchObject({ rate: answer.load.rate, seconds: 30, failed: 0 });
    expect(answer.load.rate).toBeGreaterThanOrEqual(50);
  });

  test('headline: a director dies; traffic is rerouted within detection time + 0.5 s, by the router and by packets', () => {
    expect(answer.mh.reroutedSeconds).toBeGreaterThan(0);
    expect(answer.mh.reroutedSeconds).toBeLessThanOrEqual(DETECTION + 0.5);
    expect(answer.mh.gapSeconds).toBeLessThanOrEqual(DETECTION + 0.5);
  });

  test('headline: with mh, of 200 long-lived connections none breaks and no short one fails after rerouting', () => {
    expect(answer.mh.longBefore).toBe(LONG);
    expect(answer.mh.longAfterDeath).toBe(LONG);
    expect(answer.mh.errors).toEqual([]);
    expect(answer.mh.failedAfterReroute).toEqual([]);
  });

  test('headline, T2: the director is switched on again; its path comes back unaided and nothing breaks', () => {
    expect(answer.mh.returnSeconds).toBeGreaterThan(0);
    expect(answer.mh.longAfterReturn).toBe(LONG);
    expect(answer.mh.failedAfterReturn).toEqual([]);
    expect(answer.mh.pods).toHaveLength(6);
  });

  test('the same with rr: connections break, which is what mh is for', () => {
    expect(answer.rr.longBefore).toBe(LONG);
    expect(answer.rr.longAfterReturn).toBeLessThan(LONG);
  });
});

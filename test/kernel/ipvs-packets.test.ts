import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  failures: string[];
  issues: string[];
  table: Record<string, string>;
  sticky: string[];
  brief: string[];
  weighted: string[];
  bulk: Record<string, string>;
  models: { vip: string; flows: number; wrong: string[]; loads: number }[];
  foreign: string;
}

/** Who answers over each path, and whom it sees: over IPv4, over IPv6, by every protocol. */
const PATHS: readonly [path: string, four: string, six: string][] = [
  ['pod to near', 'p3 10.1.1.2', 'p3 fd01:1::2'],
  ['pod to far', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['node to near', 'p3 192.168.1.11', 'p3 fd10::11'],
  ['node to far', 'p2 192.168.1.11', 'p2 fd10::11'],
  ['outside to near', 'p3 192.168.1.100', 'p3 fd10::100'],
  ['outside to far', 'p2 192.168.1.11', 'p2 fd10::11'],
  ['outside to node port', 'p2 192.168.1.11', 'p2 fd10::11'],
  ['outside to none', 'refused', 'refused'],
  ['pod to none', 'refused', 'refused'],
  ['node to none', 'refused', 'refused'],
  ['outside to local', 'refused', 'refused'],
  ['pod to local', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['node to local', 'p2 192.168.1.11', 'p2 fd10::11'],
  ['pod to itself', 'p1 10.1.1.1', 'p1 fd01:1::1'],
  ['pod to limited', 'p3 10.1.1.2', 'p3 fd01:1::2'],
  ['pod to inner', 'p3 10.1.1.2', 'p3 fd01:1::2'],
  ['pod to elsewhere', 'refused', 'refused'],
  ['pod to close', 'p3 10.1.1.2', 'p3 fd01:1::2'],
  ['pod to hinted', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['pod to zoned', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['pod to itself by an external address', 'p1 10.1.1.1', 'p1 fd01:1::1'],
  ['pod to itself by a load balancer', 'p1 10.1.1.1', 'p1 fd01:1::1'],
  ['pod to itself by an external address of policy Local', 'p1 10.1.1.1', 'p1 fd01:1::1'],
  ['outside to the same', 'p1 192.168.1.100', 'p1 fd10::100'],
  ['pod to itself by a node port', 'p1 10.1.1.1', 'p1 fd01:1::1'],
  ['pod to node port', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['node to node port', 'p2 192.168.1.11', 'p2 fd10::11'],
  ['outside to node port of policy Local', 'refused', 'refused'],
  ['pod to node port of policy Local', 'p2 10.1.1.2', 'p2 fd01:1::2'],
  ['node to node port of policy Local', 'p2 192.168.1.11', 'p2 fd10::11'],
];

describe.each([
  ['a dual-stack cluster', [4, 6]],
  ['an IPv4-only cluster', [4]],
  ['an IPv6-only cluster', [6]],
])('packets through the service proxy of %s', (_name, families) => {
  let answer: Answer;
  beforeAll(async () => {
    const file = fileURLToPath(new URL('guests/ipvs-packets.ts', import.meta.url));
    const env = { FAMILIES: families.join() };
    const result = await runInUml({
      name: `packets${env.FAMILIES}`,
      node: { file },
      env,
      memMb: 1024,
      timeoutMs: 560_000,
    });
    answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
  }, 580_000);
  /** What was seen over a path, by protocol and family. */
  const seen = (path: string): Record<string, string> =>
    Object.fromEntries(
      Object.entries(answer.table)
        .filter(([name]) => name.startsWith(`${path} `) && !name.slice(path.length + 1).includes(' '))
        .map(([name, value]) => [name.slice(path.length + 1), value]),
    );
  const each = (four: string, six: string, protocols = ['tcp', 'udp', 'sctp']): Record<string, string> =>
    Object.fromEntries(
      protocols.flatMap((proto) => families.map((family) => [`${proto}${family}`, family === 4 ? four : six])),
    );

  test('everything is programmed; no object has an issue', () => {
    expect(answer.failures).toEqual([]);
    expect(answer.issues).toEqual([]);
  });
  test.each(PATHS)('%s: who answers, and whom it sees (T10)', (path, four, six) => {
    const expected = each(four, six);
    // No ICMPv6 error makes an SCTP association give up (RFC 4960 appendix C asks for protocol unreachable).
    if (expected['sctp6'] === 'refused') expected['sctp6'] = 'timeout';
    expect(seen(path)).toEqual(expected);
  });
  test('source ranges shut others out; other ports of a VIP are refused; a VIP answers ping', () => {
    expect(seen('outside to limited')).toEqual(each('timeout', 'timeout', ['tcp']));
    expect(seen('another port of a VIP')).toEqual(each('refused', 'refused', ['tcp']));
    expect(seen('echo request')).toEqual(each('yes', 'yes', ['icmp']));
  });
  test("an excluded address stays somebody else's: its virtual server answers and is still there", () => {
    expect(seen('outside to excluded')).toEqual(each('p3 192.168.1.100', 'p3 fd10::100', ['tcp']));
    expect(Number(answer.foreign)).toBe(families.length);
  });
  test('affinity keeps one backend (T11)', () => {
    expect(new Set(answer.sticky).size).toBe(1);
    expect(answer.sticky).toHaveLength(10);
    expect(answer.sticky[0]).toMatch(/^p[123] /);
  });
  test('affinity ends with its time: four answers of one backend, then the next one has its turn', () => {
    expect(new Set(answer.brief.slice(0, 4)).size).toBe(1);
    expect(answer.brief[4]).toMatch(/^p[123] /);
    expect(answer.brief[4]).not.toBe(answer.brief[0]);
  });
  test('weights 1 and 3 are shares of connections', () => {
    const count = (name: string): number => answer.weighted.filter((text) => text.startsWith(name)).length;
    expect([count('p2'), count('p3')]).toEqual([2, 6]);
  });
  test('path-MTU errors for a VIP reach the pod: 300,000 bytes over a path of 1,300', () => {
    expect(answer.bulk).toEqual(Object.fromEntries(families.map((family) => [`far ${family}`, '300000, mtu 1300'])));
  });
  test("the model of the kernel's mh says who answers: 1,000 flows, 1,000 right", () => {
    expect(answer.models).toHaveLength(families.length);
    for (const { flows, wrong, loads } of answer.models) expect([flows, wrong, loads]).toEqual([1000, [], 7]);
  });
  test("masquerade-all: everybody is seen as the node; node ports answer on the node's other addresses", () => {
    expect(seen('all: pod to near')).toEqual(each('p3 192.168.1.11', 'p3 fd10::11', ['tcp']));
    expect(seen('all: outside to near')).toEqual(each('p3 192.168.1.11', 'p3 fd10::11', ['tcp']));
    expect(seen('all: outside to another node address')).toEqual(each('p2 192.168.1.11', 'p2 fd10::11', ['tcp']));
  });
});

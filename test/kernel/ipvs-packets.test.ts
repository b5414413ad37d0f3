import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

interface Answer {
  programmed: { failures: string[] };
  table: Record<string, string>;
  sticky: string[];
  order: string[];
  flows: number;
  wrong: string[];
  loads: number;
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-packets.ts', import.meta.url));
  const result = await runInUml({ name: 'packets', node: { file }, memMb: 1024, timeoutMs: 280_000 });
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
});

/** The same answer over TCP, UDP and SCTP; IPv4 first, then IPv6. */
const each = (four: string, six: string): Record<string, string> =>
  Object.fromEntries(
    ['tcp', 'udp', 'sctp'].flatMap((proto) => [
      [`${proto}4`, four],
      [`${proto}6`, six],
    ]),
  );
const seen = (path: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(answer.table)
      .filter(([name]) => name.startsWith(`${path} `))
      .map(([name, value]) => [name.slice(path.length + 1), value]),
  );

describe('packets through the service proxy', () => {
  test('everything is programmed', () => {
    expect(answer.programmed.failures).toEqual([]);
  });
  test.each([
    ['pod to near', 'p3 10.1.1.2', 'p3 fd01:1::2'],
    ['pod to far', 'p2 10.1.1.2', 'p2 fd01:1::2'],
    ['node to near', 'p3 192.168.1.11', 'p3 fd10::11'],
    ['node to far', 'p2 192.168.1.11', 'p2 fd10::11'],
    ['outside to near', 'p3 192.168.1.100', 'p3 fd10::100'],
    ['outside to far', 'p2 192.168.1.11', 'p2 fd10::11'],
    ['outside to node port', 'p2 192.168.1.11', 'p2 fd10::11'],
    ['outside to none', 'refused', 'refused'],
    ['pod to none', 'refused', 'refused'],
    ['outside to local', 'refused', 'refused'],
    ['pod to local', 'p2 10.1.1.2', 'p2 fd01:1::2'],
    ['pod to itself', 'p1 10.1.1.1', 'p1 fd01:1::1'],
    ['pod to limited', 'p3 10.1.1.2', 'p3 fd01:1::2'],
  ])('%s: who answers, and whom it sees (T10)', (path, four, six) => {
    const expected = each(four, six);
    // No ICMPv6 error makes an SCTP association give up (RFC 4960 appendix C asks for protocol unreachable).
    if (six === 'refused') expected.sctp6 = 'timeout';
    expect(seen(path)).toEqual(expected);
  });
  test('the node itself: a Local VIP by mark, and an empty Service refused by IPVS', () => {
    expect(seen('node to local')).toMatchObject({
      tcp4: 'p2 192.168.1.11',
      tcp6: 'p2 fd10::11',
      udp4: 'p2 192.168.1.11',
      udp6: 'p2 fd10::11',
      sctp6: 'p2 fd10::11',
    });
    // IPVS sees the node's own packets before any filter; its error reaches a connecting TCP socket with the second SYN.
    const none = seen('node to none');
    for (const proto of ['tcp4', 'tcp6']) expect(none[proto]).toMatch(/^refused( after 1\.\d+ s)?$/);
    for (const proto of ['udp4', 'udp6']) expect(none[proto]).toMatch(/^(refused|error 1)$/);
  });
  test('source ranges shut others out; other ports of a VIP are refused; a VIP answers ping', () => {
    expect(seen('outside to limited')).toEqual({ tcp4: 'timeout', tcp6: 'timeout' });
    expect(seen('another port of a VIP')).toEqual({ tcp4: 'refused' });
    expect(answer.table['echo request to a VIP']).toBe('yes');
  });
  test('affinity keeps one backend (T11)', () => {
    expect(new Set(answer.sticky).size).toBe(1);
    expect(answer.sticky).toHaveLength(10);
  });
  test("the model of the kernel's mh says who answers: 1,000 flows, 1,000 right", () => {
    expect(answer.flows).toBe(1000);
    expect(answer.wrong).toEqual([]);
    expect(answer.loads).toBe(7);
  });
});

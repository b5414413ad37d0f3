import { describe, expect, test } from 'vitest';
import { createVirtualClock } from '../testing/virtual-clock.ts';
import { ipvsCounters, parseCounters } from './counters.ts';
import type { ServiceCounters } from './counters.ts';

// As ipvsadm 1.31 prints it.
const listing = (connections: number, bytes: number): string => `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.1:80                ${connections}       70       60     ${bytes}     9000
  -> 10.1.0.1:81                ${connections}       70       60     ${bytes}     9000
TCP  [fd00::1]:80                        1        2        3        4        5
  -> [fd00:1::1]:8080                    1        2        3        4        5
FWM  8199                               12      120        0    12000        0
  -> 10.1.0.1:0                         12      120        0    12000        0
FWM  6 IPv6                              0        0        0        0        0
`;

describe('counters', () => {
  test('every kind of server is read', () => {
    const read = parseCounters(listing(7, 5000));
    expect(
      read.map(({ key, total, endpoints }) => [key, total.connections, total.bytesIn, [...endpoints.keys()].join()]),
    ).toEqual([
      ['vs/tcp/10.0.0.1:80', 7, 5000, '10.1.0.1:81'],
      ['vs/tcp/[fd00::1]:80', 1, 4, '[fd00:1::1]:8080'],
      ['vs/fwm/4/8199', 12, 12000, '10.1.0.1:0'],
      ['vs/fwm/6/6', 0, 0, ''],
    ]);
    expect(() => parseCounters('TCP  10.0.0.1:80 x 1 2 3 4\n')).toThrow('ipvsadm printed');
  });

  test('rates come from two readings; a counter that began anew has none; the stream ends with its subscriber', async () => {
    const clock = createVirtualClock();
    const answers = [listing(7, 5000), listing(17, 9000), listing(0, 0)];
    let reads = 0;
    const runner = {
      run: async () => ({ exitCode: 0, stdout: answers[reads++] ?? '', stderr: '', durationMs: 1 }),
    };
    const seen: (readonly ServiceCounters[])[] = [];
    const owner = (key: string) => (key === 'vs/fwm/4/8199' ? 'shop/dsr' : undefined);
    const subscription = ipvsCounters({ runner, clock, intervalMs: 2000, owner }).subscribe((one) => seen.push(one));
    await clock.advance(0);
    await clock.advance(2000);
    await clock.advance(2000);
    subscription.unsubscribe();
    await clock.advance(10_000);
    expect(reads).toBe(3);
    expect(seen.map(([web]) => web?.rate.connections)).toEqual([0, 5, 0]);
    expect(seen[1]?.[0]?.endpoints.get('10.1.0.1:81')?.rate.bytesIn).toBe(2000);
    expect(seen[0]?.[2]?.service).toBe('shop/dsr');
  });
});

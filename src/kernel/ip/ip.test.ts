import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRecordingRunner } from '../../testing/recording-runner.ts';
import { createBatchReader, frameBatch, splitFamilies } from './batch.ts';
import { parseIpMonitorLine } from './monitor.ts';
import { parseIpNeighbours, parseIpRoutes, parseIpRules } from './parse.ts';
import { isDeviceName, renderIpAddress, renderIpRoute, renderIpRule } from './render.ts';
import { createIpSession } from './session.ts';

describe('parse, what iproute2 6.1 prints with -j -N', () => {
  it('routes', () => {
    const text = `[{"dst":"10.0.0.0/24","dev":"v0","protocol":"2","scope":"253","prefsrc":"10.0.0.1","flags":[]},
      {"dst":"10.9.0.0/16","protocol":"17","metric":5,"flags":[],"nexthops":[{"gateway":"10.0.0.2","dev":"v0","weight":2,"flags":[]},
       {"gateway":"10.0.0.3","dev":"v0","weight":1,"flags":["dead","linkdown"]}]},
      {"type":"6","dst":"10.10.0.0/16","flags":[]},{"dst":"default","gateway":"10.0.0.2","dev":"v0","flags":[]},
      {"type":"2","dst":"10.3.3.3","dev":"lo","table":"255","scope":"254","prefsrc":"10.0.0.1","flags":[]}]`;
    expect(parseIpRoutes(text, 4)).toEqual([
      { prefix: '10.0.0.0/24', protocol: 2, scope: 253, source: '10.0.0.1', nextHops: [{ device: 'v0' }] },
      {
        prefix: '10.9.0.0/16',
        protocol: 17,
        metric: 5,
        nextHops: [
          { via: '10.0.0.2', device: 'v0', weight: 2 },
          { via: '10.0.0.3', device: 'v0', flags: ['dead', 'linkdown'] },
        ],
      },
      { type: 'blackhole', prefix: '10.10.0.0/16', nextHops: [] },
      { prefix: '0.0.0.0/0', nextHops: [{ via: '10.0.0.2', device: 'v0' }] },
      {
        type: 'local',
        prefix: '10.3.3.3/32',
        table: 255,
        scope: 254,
        source: '10.0.0.1',
        nextHops: [{ device: 'lo' }],
      },
    ]);
    expect(parseIpRoutes('', 4)).toEqual([]);
    expect(parseIpRoutes('[{}]', 4)).toEqual([]);
    expect(() => parseIpRoutes('{', 4)).toThrowError(expect.objectContaining({ code: 'PARSE_FAILED' }));
  });

  it('rules and neighbours', () => {
    const text = `[{"priority":0,"src":"all","table":"255"},
      {"priority":99,"src":"all","dst":"10.2.0.0","dstlen":16,"iif":"v0","oif":"v1","action":"6"},
      {"priority":100,"not":null,"src":"10.1.0.0","srclen":16,"fwmark":"0x10","fwmask":"0xff","table":"77"}]`;
    expect(parseIpRules(text, 4)).toEqual([
      { family: 4, priority: 0, table: 255 },
      { family: 4, priority: 99, to: '10.2.0.0/16', iif: 'v0', oif: 'v1', action: 'blackhole' },
      { family: 4, priority: 100, not: true, from: '10.1.0.0/16', fwmark: 16, fwmask: 255, table: 77 },
    ]);
    expect(parseIpNeighbours('[{"dst":"fe80:0::1","dev":"v0","state":["FAILED"]}]')).toEqual([
      { device: 'v0', address: 'fe80::1', state: ['FAILED'] },
    ]);
  });

  it.each([
    [
      '[ROUTE]Deleted 10.9.0.0/16 via 10.0.0.2 dev v0 ',
      { kind: 'route', deleted: true, text: '10.9.0.0/16 via 10.0.0.2 dev v0' },
    ],
    ['[LINK]3: v0@v1: <BROADCAST> mtu 1500', { kind: 'link', deleted: false, text: '3: v0@v1: <BROADCAST> mtu 1500' }],
    ['[NETCONF]inet dd forwarding off', undefined],
    ['', undefined],
  ])('%s', (line, event) => expect(parseIpMonitorLine(line)).toEqual(event));
});

describe('render', () => {
  it('routes', () => {
    expect(renderIpRoute('replace', { prefix: '10.9.0.0/16', protocol: 17, nextHops: [{ via: '10.0.0.2' }] })).toBe(
      'route replace 10.9.0.0/16 table 254 proto 17 via 10.0.0.2',
    );
    expect(
      renderIpRoute('add', {
        prefix: '2001:db8::/32',
        table: 77,
        metric: 5,
        nextHops: [
          { via: 'fe80::1', device: 'v0', weight: 3 },
          { via: '2001:db8::1', onlink: true },
        ],
      }),
    ).toBe(
      'route add 2001:db8::/32 table 77 metric 5 nexthop via fe80::1 dev v0 weight 3 nexthop via 2001:db8::1 onlink',
    );
  });
  it('refuses every value that would end ip, or change its meaning', () => {
    const hostile = fc.oneof(
      fc.string(),
      fc.constantFrom('10.0.0.1 dev eth0', '10.0.0.0/8\nlink del eth0', '010.0.0.1', 'default', '-6'),
    );
    const valid = /^[0-9a-f:.]+$/;
    fc.assert(
      fc.property(hostile, (text) => {
        for (const write of [
          () => renderIpRoute('replace', { prefix: text, nextHops: [] }),
          () => renderIpRoute('replace', { prefix: '10.0.0.0/8', nextHops: [{ via: text }] }),
          () => renderIpRule('add', { family: 4, priority: 1, from: text }),
          () => renderIpAddress('replace', { device: 'v0', address: text, length: 32 }),
        ]) {
          if (!valid.test(text.replace(/\/\d+$/, '')))
            expect(write).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
        }
        if (!isDeviceName(text))
          expect(() => renderIpRoute('replace', { prefix: '10.0.0.0/8', nextHops: [{ device: text }] })).toThrowError();
      }),
    );
  });
});

describe('the talk with ip -force -batch', () => {
  // What `ip` itself wrote to: a good line, a refused one, one more good line, each with its receipt.
  const spoken =
    'Object "receipt" is unknown, try "ip help".\nCommand failed -:2\n' +
    'RTNETLINK answers: File exists\nCommand failed -:3\nObject "receipt" is unknown, try "ip help".\nCommand failed -:4\n' +
    'Object "receipt" is unknown, try "ip help".\nCommand failed -:6\n';

  it('is understood however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: spoken.length }), { maxLength: 10 }), (cuts) => {
        const reader = createBatchReader();
        const at = [0, ...cuts.sort((a, b) => a - b), spoken.length];
        const results = at.flatMap((from, index) => reader.push(spoken.slice(from, at[index + 1])));
        expect(results).toEqual([{ index: 0 }, { index: 1, message: 'RTNETLINK answers: File exists' }, { index: 2 }]);
        expect(reader.tail).toBe('');
      }),
    );
  });

  it('frames one line as one line', () => {
    expect(frameBatch(['link set v0 up\nlink del v0', '-6 rule add'])).toBe(
      'link set v0 up link del v0\nreceipt\nrule add\nreceipt\n',
    );
    expect(splitFamilies(['a', '-6 b', 'c'])).toEqual([
      [[], ['a', 'c']],
      [['-6'], ['-6 b']],
    ]);
    expect(splitFamilies([])).toEqual([]);
  });

  it('a silent ip is given up, and the next call has a new one', async () => {
    const runner = createRecordingRunner();
    const session = createIpSession({ runner, timeoutMs: 20 });
    await expect(session.run(['link set v0 up'])).rejects.toMatchObject({ code: 'COMMAND_TIMEOUT', retryable: true });
    runner.whenStarted('ip', (process) => {
      let line = 0;
      process.onInput((text) => {
        for (const one of text.trim().split('\n')) {
          line++;
          if (one === 'receipt') process.stderr(`Command failed -:${line}\n`);
        }
      });
    });
    expect(await session.run(['link set v0 up', 'link set v1 up'])).toEqual([]);
    expect(runner.commands).toHaveLength(2);
    await session.close();
    await expect(session.run(['x'])).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

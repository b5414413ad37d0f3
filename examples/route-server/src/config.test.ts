import { expect, it } from 'vitest';
import { parseConfig } from './config.ts';

const good = {
  asn: 65000,
  routerId: '10.0.0.1',
  listen: [{ address: '0.0.0.0', port: 179 }],
  peers: [{ name: 'a', address: '10.0.0.2', asn: 65001 }],
};
const faults = (value: unknown): readonly string[] => {
  const result = parseConfig(value);
  return 'faults' in result ? result.faults.map(({ path, reason }) => `${path}: ${reason}`) : [];
};

it.each([
  ['nothing', null, [': must be an object']],
  ['an unknown key', { ...good, colour: 1 }, ['colour: unknown key']],
  ['a missing key', { ...good, asn: undefined }, ['asn: missing']],
  [
    'an unknown key of a peer',
    { ...good, peers: [{ ...good.peers[0], pasive: true }] },
    ['peers[0].pasive: unknown key'],
  ],
  [
    'an unknown key deeper down',
    { ...good, peers: [{ ...good.peers[0], gracefulRestart: { restartTime: 1, x: 1 } }] },
    ['peers[0].gracefulRestart.x: unknown key'],
  ],
  [
    'wrong types',
    { ...good, listen: {}, peers: [{ name: 'a', address: 1, asn: '65001', families: ['ipx'] }] },
    [
      'listen: must be a list',
      'peers[0].address: must be a text',
      'peers[0].asn: must be a whole number',
      'peers[0].families[0]: must be one of ipv4-unicast, ipv6-unicast',
    ],
  ],
  ['a good one', good, []],
])('%s', (_name, value, expected) => {
  expect(faults(value)).toEqual(expected);
});

it('defaults to a hold time of 90 s', () => {
  expect(parseConfig(good)).toMatchObject({ options: { holdTime: 90 } });
});

import { expect, test } from 'vitest';
import { parseCommandLine } from '../flags/command-line.ts';
import { loadConfig } from './load.ts';
import { loadBalancerRanges } from './ranges.ts';

test.each([
  ['the flag alone', '', ['--loadbalancer-ip-range=203.0.113.0/24'], ['203.0.113.0/24']],
  ['pools alone', 'loadBalancer: {pools: [{name: a, cidrs: [198.51.100.0/28]}]}', [], ['198.51.100.0/28']],
  [
    'both families, first-last as the fewest prefixes, each once',
    "loadBalancer: {pools: [{name: a, ranges: ['192.0.2.10-192.0.2.13'], cidrs: ['2001:db8::/120']}, {name: b, cidrs: [203.0.113.0/24]}]}",
    ['--loadbalancer-ip-range=203.0.113.0/24'],
    ['203.0.113.0/24', '192.0.2.10/31', '192.0.2.12/31', '2001:db8::/120'],
  ],
])('%s', (_, file, flags, expected) => {
  const args = ['run', ...(file === '' ? [] : ['--config', 'a.yaml']), ...flags];
  const config = loadConfig(parseCommandLine(args), { env: {}, readFile: () => file });
  expect(loadBalancerRanges(config)).toEqual(expected);
});

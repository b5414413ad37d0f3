import { expect, it } from 'vitest';
import { classifyFailure, findFailingLine, isTransient } from './failing-line.ts';

// Each text was printed by the tool of its name on Debian 12.
it.each([
  ['ipset v7.17: Error in line 3: The set with the given name does not exist\n', 3],
  ["ipset v7.17: Error in line 1: Syntax error: typename 'hash:nope' is unknown\n", 1],
  [
    "iptables-nft-restore v1.8.9 (nf_tables): Chain 'NOPE' does not exist\nError occurred at line: 4\nTry `iptables-nft-restore -h'\n",
    4,
  ],
  ['iptables-nft-restore: line 3 failed: No chain/target/match by that name.\n', 3],
  [
    'iptables-nft-restore v1.8.9 (nf_tables): \nline 3: RULE_APPEND failed (No such file or directory): rule in chain KRK\n',
    3,
  ],
  ["iptables-restore v1.8.9 (legacy): Set nope doesn't exist.\n\nError occurred at line: 3\n", 3],
  ['iptables-restore: line 3 failed\n', 3],
  ['Error: Nexthop has invalid gateway.\nCommand failed -:2\n', 2],
  ['/dev/stdin:3:7-7: Error: syntax error, unexpected newline\n bogus\n      ^\n', 3],
  ["Can't initialize ipvs: Protocol not available\n", undefined],
  ['', undefined],
])('%j names line %s', (stderr, line) => expect(findFailingLine(stderr)).toBe(line));

it.each([
  ['RTNETLINK answers: Operation not permitted\n', 'PERMISSION_DENIED'],
  [
    'iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n',
    'PERMISSION_DENIED',
  ],
  ["Fatal: can't open lock file /run/xtables.lock: Permission denied\n", 'PERMISSION_DENIED'],
  ['ipset v7.17: Kernel error received: Operation not permitted\n', 'PERMISSION_DENIED'],
  ["Can't initialize ipvs: Protocol not available\n", 'KERNEL_UNSUPPORTED'],
  ['Error: Unknown device type.\n', 'KERNEL_UNSUPPORTED'],
  ['RTNETLINK answers: File exists\n', 'COMMAND_FAILED'],
])('%j is %s', (stderr, kind) => expect(classifyFailure(stderr)).toBe(kind));

it('knows what goes away by itself', () => {
  expect(isTransient('Another app is currently holding the xtables lock. Perhaps you want to use the -w option?')).toBe(
    true,
  );
  expect(isTransient('RTNETLINK answers: File exists')).toBe(false);
});

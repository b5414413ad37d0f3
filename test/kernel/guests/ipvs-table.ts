/**
 * Runs in the guest: each case of the table of rules is given to a network namespace of its own, and what the kernel then holds is
 * read back in the table's form. A second look must find nothing to do. `PART` is `0/2`: the first half of the table.
 */
import { compile, createIpvsTarget } from '../../../src/ipvs/index.ts';
import type { Family } from '../../../src/net/values.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';
import { OPTIONS, TABLE } from '../../support/ipvs-table.ts';

const inGuest = shellRunner();
const results: { failures: string[]; text: string; again: number }[] = [];
const [part = 0, parts = 1] = (process.env.PART ?? '0/1').split('/').map(Number);
for (const [index, { input }] of TABLE.entries()) {
  if (index % parts !== part) continue;
  const ns = `c${index}`;
  await sh(`ip netns add ${ns}; ip -n ${ns} link set lo up; ip -n ${ns} link add eth0 type dummy; ip -n ${ns} link set eth0 up
ip -n ${ns} addr add 192.168.1.11/24 dev eth0; ip -n ${ns} addr add fd10::11/64 dev eth0 nodad
ip -n ${ns} route add default via 192.168.1.1; ip -n ${ns} route add default via fd10::1`);
  const { primary } = input.node ?? OPTIONS.node;
  const families = ([4, 6] as const).filter((family: Family) => primary[family] !== undefined);
  const target = createIpvsTarget({
    families,
    runner: { run: (command, options) => inGuest.run({ netns: `/run/netns/${ns}`, ...command }, options) },
  });
  const state = compile({ ...OPTIONS, services: [], endpointSlices: [], ...input });
  const { failures } = await pass(target, state, {});
  const { steps } = await pass(target, state, {});
  await target.close();
  const servers = await sh(`ip netns exec ${ns} ipvsadm -Sn`);
  const rest = await sh(`n() { ip netns exec ${ns} "$@"; }
{ n ip route show table local dev kube-dummy-if; n ip -6 route show table local dev kube-dummy-if; } |
  sed -n 's/^local \\([^ ]*\\) .*src \\([^ ]*\\).*/addr \\1 src \\2/p'
n ipset save | grep ^add | grep -v 'local-ips\\|svc-pods' | sed 's/^add [^ ]*kube-router-//' || true
{ n ip rule show; n ip -6 rule show; } | sed -n 's/.*fwmark \\(.*\\) lookup \\(.*\\)/rule \\1 lookup \\2/p' | sort -u
n sysctl net.ipv4.vs.sloppy_tcp | sed -n 's/.* = 1$/sysctl sloppy_tcp 1/p'`);
  const lines = (text: string): string[] =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  // The kernel lists flags by their bits, we by their names.
  const flags = (line: string): string =>
    line.replace(/-b (\S+)/, (_, list: string) => `-b ${list.split(',').sort().join()}`);
  results.push({ failures, again: steps, text: [...lines(servers).map(flags).sort(), ...lines(rest)].join('\n') });
  await sh(`ip netns del ${ns}`);
}
answer(results);
process.exit(0);

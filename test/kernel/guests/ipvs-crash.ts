/**
 * Runs in the guest: the agent dies before each command of an apply in turn; a fresh one finds its way to the same kernel state,
 * and cleanup back to what was there before. Then leftovers of two other agents are swept.
 */
import { cleanupIpvs, compile, createIpvsTarget } from '../../../src/ipvs/index.ts';
import type { IpvsState } from '../../../src/ipvs/index.ts';
import { openOwnership } from '../../../src/kernel/index.ts';
import { service, slice } from '../../support/ipvs-objects.ts';
import { answer, commands, kernelText, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

await sh(`ip link add eth0 type dummy; ip link set eth0 up
ip addr add 192.168.1.11/24 dev eth0; ip addr add fd10::11/64 dev eth0 nodad; ip route add default via 192.168.1.1; ip -6 route add default via fd10::1
ipvsadm -A -t 203.0.113.9:443 -s wlc; sysctl -qw net.ipv4.conf.all.rp_filter=1`);
const cluster = (base: number, dsr: boolean): IpvsState =>
  compile({
    node: { name: 'n1', primary: { 4: '192.168.1.11', 6: 'fd10::11' }, podCIDRs: ['10.1.1.0/24'] },
    clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
    externalIpRanges: ['198.51.100.0/24'],
    services: [0, 1].map((index) =>
      service(`t/s${base + index}`, {
        clusterIPs: [`172.16.0.${base + index}`, `fd00::${base + index}`],
        ports: [{ port: 80, protocol: 'TCP' }],
        annotations: dsr ? { 'kube-router.io/service.dsr': 'tunnel' } : {},
        spec: { externalIPs: [`198.51.100.${base + index}`], externalTrafficPolicy: index === 0 ? 'Local' : 'Cluster' },
      }),
    ),
    endpointSlices: [0, 1].map((index) =>
      slice(`t/s${base + index}`, [`10.1.2.${base + index}`, `10.1.1.${base + index}`], [{ port: 80 }]),
    ),
    gracefulTermination: false,
  });
const text = async (): Promise<string> => {
  const parts = await kernelText();
  parts.ipvs = (parts.ipvs ?? '').split('\n').sort().join('\n');
  delete parts.order;
  return JSON.stringify(parts, null, 1);
};
const before = await text();
const owned = async (name: string) => (await openOwnership({ path: `/run/krs/${name}.json` })).block('ipvs');
const state = cluster(10, true);

const writing = (line: string): boolean => !/^(ipvsadm -L|ipset save|ip6?tables-save|ip (-N )?-j|sysctl -e)/.test(line);
commands.length = 0;
await pass(createIpvsTarget({ runner: shellRunner(), owned: await owned('clean') }), state, {});
const steps = commands.filter(writing);
const reference = await text();
const differences: string[] = [];
await cleanupIpvs({ runner: shellRunner(), owned: await owned('clean') });
if ((await text()) !== before) differences.push('cleanup of the clean run');
for (let kill = 0; kill < steps.length; kill++) {
  let count = 0;
  let dead = false;
  // After its death nothing of that agent runs any more.
  const dying = shellRunner((line) => {
    if (writing(line) && count++ === kill) dead = true;
    if (dead) throw new Error('killed');
  });
  await pass(createIpvsTarget({ runner: dying, owned: await owned(`k${kill}`) }), state, {}).catch(() => undefined);
  const again = await pass(createIpvsTarget({ runner: shellRunner(), owned: await owned(`k${kill}`) }), state, {});
  const now = await text();
  if (again.failures.length > 0) differences.push(`killed before ${steps[kill]}: ${again.failures.join('; ')}`);
  if (now !== reference) differences.push(`killed before ${steps[kill]}: ${now}`);
  await cleanupIpvs({ runner: shellRunner(), owned: await owned(`k${kill}`) });
  const after = await text();
  if (after !== before) differences.push(`cleanup after being killed before ${steps[kill]}: ${after}`);
}
// Leftovers of two agents with other services: swept by a third.
await pass(createIpvsTarget({ runner: shellRunner() }), cluster(40, false), {});
await pass(createIpvsTarget({ runner: shellRunner() }), cluster(70, true), {});
const third = await pass(createIpvsTarget({ runner: shellRunner() }), state, {});
const swept = await text();
answer({ steps, differences, third: third.failures, swept, reference });
process.exit(0);

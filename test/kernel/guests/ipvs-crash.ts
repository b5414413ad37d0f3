/**
 * Runs in the guest: the agent dies before each command of an apply in turn, and in the middle of each that reads a batch; a fresh
 * one finds its way to the same kernel state, and cleanup back to what was there before. So too in the middle of a change with
 * drains and a new order of `mh`. Then leftovers of two other agents are swept.
 */
import { cleanupIpvs, compile, createIpvsTarget } from '../../../src/ipvs/index.ts';
import type { IpvsState } from '../../../src/ipvs/index.ts';
import { openOwnership } from '../../../src/kernel/index.ts';
import type { Runner } from '../../../src/kernel/index.ts';
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
/** Dies before writing command number `kill`, or having done half of its batch; nothing of that agent runs after it. */
const dying = (kill: number, half: boolean): Runner => {
  const inner = shellRunner();
  let count = 0;
  let dead = false;
  return {
    async run(command, options) {
      if (dead) throw new Error('killed');
      if (!writing([command.file, ...command.args].join(' ')) || count++ !== kill) return inner.run(command, options);
      dead = true;
      const lines = command.input?.split('\n') ?? [];
      const input = lines.slice(0, Math.ceil(lines.length / 2)).join('\n') + '\n';
      if (half) await inner.run({ ...command, input }, options).catch(() => undefined);
      throw new Error('killed');
    },
  };
};
const differences: string[] = [];
/** Every kill of the way to `state`, begun after `prepare`; returns the commands of the way undisturbed and the kernel after it. */
const killEverywhere = async (
  name: string,
  state: IpvsState,
  look: () => Promise<string>,
  prepare: (record: string) => Promise<void> = () => Promise.resolve(),
): Promise<{ steps: string[]; reference: string; kills: number }> => {
  const target = async (runner: Runner, record: string) =>
    createIpvsTarget({ runner, owned: await owned(record), drainIntervalMs: 600_000 });
  const clean = async (record: string, what: string): Promise<void> => {
    const { failures } = await cleanupIpvs({ runner: shellRunner(), owned: await owned(record) });
    const after = await text();
    if (failures.length > 0 || after !== before) differences.push(`cleanup after ${what}: ${after}`);
  };
  await prepare(name);
  const inputs: boolean[] = [];
  const watching: Runner = {
    run(command, options) {
      if (writing([command.file, ...command.args].join(' '))) inputs.push((command.input?.split('\n').length ?? 0) > 2);
      return shellRunner().run(command, options);
    },
  };
  commands.length = 0;
  await pass(await target(watching, name), state, {});
  const steps = commands.filter(writing);
  const reference = await look();
  await clean(name, `the clean run of ${name}`);
  let kills = 0;
  for (const [kill, batch] of inputs.entries()) {
    for (const half of batch ? [false, true] : [false]) {
      kills++;
      const record = `${name}-${kill}-${half}`;
      const what = `${half ? 'in the middle of' : 'before'} ${steps[kill]}`;
      await prepare(record);
      await pass(await target(dying(kill, half), record), state, {}).catch(() => undefined);
      const again = await pass(await target(shellRunner(), record), state, {});
      const now = await look();
      if (again.failures.length > 0) differences.push(`killed ${what}: ${again.failures.join('; ')}`);
      if (now !== reference) differences.push(`killed ${what}: ${now} instead of ${reference}`);
      await clean(record, `being killed ${what}`);
    }
  }
  return { steps, reference, kills };
};
const { steps, reference, kills } = await killEverywhere('start', state, text);

// A change: `mh` gets a server that sorts first and loses one, which drains; another Service is replaced whole.
const changing = (mh: readonly string[], web: readonly string[]): IpvsState =>
  compile({
    node: { name: 'n1', primary: { 4: '192.168.1.11' }, podCIDRs: ['10.1.1.0/24'] },
    clusterIpRanges: ['172.16.0.0/16'],
    services: [
      service('t/mh', {
        clusterIPs: ['172.16.0.80'],
        ports: [{ port: 80, protocol: 'TCP' }],
        annotations: { 'kube-router.io/service.scheduler': 'mh' },
      }),
      service('t/web', { clusterIPs: ['172.16.0.81'], ports: [{ port: 80, protocol: 'TCP' }] }),
    ],
    endpointSlices: [slice('t/mh', mh, [{ port: 80 }]), slice('t/web', web, [{ port: 80 }])],
  });
const from = changing(['10.1.2.20', '10.1.2.30', '10.1.2.40'], ['10.1.2.1', '10.1.2.2']);
const to = changing(['10.1.2.10', '10.1.2.20', '10.1.2.40'], ['10.1.2.3', '10.1.2.4']);
const ordered = async (): Promise<string> => (await text()) + (await sh('ipvsadm -Ln --nosort -t 172.16.0.80:80'));
const change = await killEverywhere('change', to, ordered, async (record) => {
  await pass(
    createIpvsTarget({ runner: shellRunner(), owned: await owned(record), drainIntervalMs: 600_000 }),
    from,
    {},
  );
});
// Leftovers of two agents with other services: swept by a third.
await pass(createIpvsTarget({ runner: shellRunner() }), cluster(40, false), {});
await pass(createIpvsTarget({ runner: shellRunner() }), cluster(70, true), {});
const third = await pass(createIpvsTarget({ runner: shellRunner() }), state, {});
const swept = await text();
answer({ steps, kills, change, differences, third: third.failures, swept, reference });
process.exit(0);

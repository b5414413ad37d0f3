import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { IpvsItem, IpvsState, VirtualServerItem } from './model.ts';
import { parseServers } from './parse.ts';
import { applyStep, drainKey, emptyObserved, plan, shareItems } from './plan.ts';
import type { IpvsObserved } from './plan.ts';
import { ipvsadmLines, render } from './render.ts';

const KEY = 'vs/tcp/10.96.0.1:80';
const vs = (addresses: readonly string[], more: Partial<VirtualServerItem> = {}): VirtualServerItem => ({
  type: 'vs',
  key: KEY,
  family: 4,
  protocol: 'TCP',
  address: '10.96.0.1',
  port: 80,
  scheduler: 'mh',
  flags: ['mh-fallback'],
  persistence: 0,
  forward: 'masq',
  servers: addresses.map((address) => ({ address, port: 8080, weight: 1 })),
  ...more,
});
const state = (items: readonly IpvsItem[], drain = true): IpvsState => ({
  items: new Map(items.map((item) => [item.key, item])),
  graceMs: () => 30_000,
  drain,
});

/** An IPVS that understands argument lists and lists like the kernel: newest real server first. */
function fakeKernel() {
  const services = new Map<string, { options: string[]; servers: { name: string; weight: string }[] }>();
  let cut = 0;
  return {
    services,
    get cut() {
      return cut;
    },
    run(args: readonly string[]): void {
      const [verb = '', flag = '', name = '', ...rest] = args;
      const key = `${flag} ${name}`;
      const found = services.get(key);
      const server = rest[0] === '-r' ? (rest[1] ?? '') : '';
      const weight = rest[rest.indexOf('-w') + 1] ?? '';
      const at = found?.servers.findIndex((one) => one.name === server) ?? -1;
      if (verb === '-A') {
        if (found !== undefined) throw new Error('Service already exists');
        services.set(key, { options: rest, servers: [] });
        return;
      }
      if (found === undefined) throw new Error('No such service');
      if (verb === '-E') found.options = rest;
      else if (verb === '-D') services.delete(key);
      else if (verb === '-a') {
        if (at >= 0) throw new Error('Destination already exists');
        found.servers.unshift({ name: server, weight });
      } else if (at < 0) throw new Error('No such destination');
      else if (verb === '-d') {
        found.servers.splice(at, 1);
        cut++;
      } else found.servers[at] = { name: server, weight };
    },
    list(): string {
      let text = 'IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n';
      for (const [name, { options, servers }] of services) {
        const flags = options.includes('-b') ? ` (${options[options.indexOf('-b') + 1] ?? ''})` : '';
        const sticky = options.includes('-p') ? ` persistent ${options[options.indexOf('-p') + 1] ?? ''}` : '';
        text += `TCP  ${name.split(' ')[1] ?? ''} ${options[options.indexOf('-s') + 1] ?? ''}${flags}${sticky}\n`;
        for (const server of servers)
          text += `  -> ${server.name.padEnd(28)} Masq    ${server.weight}      0          0         \n`;
      }
      return text;
    },
  };
}

describe('plan', () => {
  test('nothing to do between equals; nothing pruned while it may not be', () => {
    const desired = state([vs(['10.0.0.1', '10.0.0.2'])]);
    const observed: IpvsObserved = { ...emptyObserved(), items: new Map(desired.items) };
    expect(plan(desired, observed).steps).toEqual([]);
    expect(plan(state([]), observed, { prune: false }).steps).toEqual([]);
    expect(plan(state([vs(['10.0.0.1'])]), observed, { prune: false }).steps).toEqual([]);
  });

  test('one endpoint: one direct call; many: one -R', () => {
    const observed: IpvsObserved = {
      ...emptyObserved(),
      items: new Map([[KEY, vs(['10.0.0.1'], { scheduler: 'rr', flags: [] })]]),
    };
    const more = vs(['10.0.0.1', '10.0.0.2'], { scheduler: 'rr', flags: [] });
    expect(render(plan(state([more]), observed))).toBe('ipvsadm -a -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 1\n');
    const many = vs(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'], {
      scheduler: 'rr',
      flags: [],
    });
    expect(render(plan(state([many]), observed)).split('\n')[0]).toBe('ipvsadm -R');
  });

  test('scheduler, flags and affinity change in place', () => {
    const observed: IpvsObserved = { ...emptyObserved(), items: new Map([[KEY, vs(['10.0.0.1'])]]) };
    const changed = vs(['10.0.0.1'], { scheduler: 'wrr', flags: [], persistence: 60 });
    expect(render(plan(state([changed]), observed))).toBe('ipvsadm -E -t 10.96.0.1:80 -s wrr -p 60\n');
  });

  test('a server before others in canonical order moves those behind it, with the cutting setting off meanwhile', () => {
    const observed: IpvsObserved = { ...emptyObserved(), items: new Map([[KEY, vs(['10.0.0.1', '10.0.0.3'])]]) };
    expect(render(plan(state([vs(['10.0.0.1', '10.0.0.2', '10.0.0.3'])]), observed)))
      .toBe(`sysctl -qw net/ipv4/vs/expire_nodest_conn=0
ipvsadm -R
  -a -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 1
  -d -t 10.96.0.1:80 -r 10.0.0.3:8080
  -a -t 10.96.0.1:80 -r 10.0.0.3:8080 -m -w 1
sysctl -qw net/ipv4/vs/expire_nodest_conn=1
`);
  });

  test('a virtual server of somebody else is left alone and named', () => {
    const observed: IpvsObserved = { ...emptyObserved(), foreign: new Set([KEY]) };
    const { steps } = plan(state([vs(['10.0.0.1'])]), observed);
    expect(steps.map((step) => step.kind)).toEqual(['blocked']);
  });

  test('nor does an entry of ours ever claim it, by address or by mark', () => {
    const observed: IpvsObserved = { ...emptyObserved(), foreign: new Set([KEY, 'vs/fwm/6/99']) };
    const entry = (set: string, element: string, options = ''): IpvsItem => ({
      type: 'entry',
      key: `entry/${set}/${element}`,
      set,
      element,
      options,
    });
    const entries = [
      entry('kube-router-svip-prt', '10.96.0.1,tcp:80'),
      entry('kube-router-svip-prt', '10.96.0.1,udp:80'),
      entry('inet6:kube-router-svc-mark', 'fd00::1,tcp:80', 'skbmark 0x63/0x3fff'),
      entry('kube-router-svc-mark', '10.96.0.9,tcp:80', 'skbmark 0x63/0x3fff'),
    ];
    expect(render(plan(state([vs(['10.0.0.1']), ...entries]), observed))).toBe(`ipset restore -exist
  add kube-router-svip-prt 10.96.0.1,udp:80
  add kube-router-svc-mark 10.96.0.9,tcp:80 skbmark 0x63/0x3fff
# ${KEY}: a virtual server of somebody else stands there; it is left alone
`);
  });

  test('without real servers there is no virtual server; one that drains stays until it is idle', () => {
    const none = state([vs([])]);
    expect(plan(none, emptyObserved()).steps).toEqual([]);
    const empty: IpvsObserved = { ...emptyObserved(), items: new Map([[KEY, vs([])]]) };
    expect(render(plan(none, empty))).toBe('ipvsadm -D -t 10.96.0.1:80\n');
    const busy: IpvsObserved = { ...emptyObserved(), items: new Map([[KEY, vs(['10.0.0.1'])]]) };
    expect(render(plan(none, busy))).toBe('ipvsadm -e -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 0\n');
    expect(render(plan(state([vs([])], false), busy))).toBe(
      'ipvsadm -d -t 10.96.0.1:80 -r 10.0.0.1:8080\nipvsadm -D -t 10.96.0.1:80\n',
    );
    expect(plan(state([vs([])], false), busy, { prune: false }).steps).toEqual([]);
  });

  test('a server of weight 0 that goes drains as well, once', () => {
    const observed: IpvsObserved = { ...emptyObserved(), items: new Map([[KEY, vs(['10.0.0.1'])]]) };
    const zero = { address: '10.0.0.2', port: 8080, weight: 0 };
    const both = vs([], { scheduler: 'wrr', servers: [{ address: '10.0.0.1', port: 8080, weight: 1 }, zero] });
    observed.items.set(KEY, both);
    const one = state([vs(['10.0.0.1'], { scheduler: 'wrr', flags: both.flags })]);
    const { steps } = plan(one, observed);
    expect(render({ steps })).toBe('ipvsadm -e -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 0\n');
    expect(steps).toMatchObject([{ action: 'drain', graceMs: 30_000 }]);
    for (const step of steps) applyStep(observed, step);
    expect(plan(one, observed).steps).toEqual([]);
  });

  const addresses = ['10.0.0.1', '10.0.0.2', '10.0.0.9', '10.0.0.10', '10.0.1.1', '9.255.255.255'];
  const canonical = ['9.255.255.255', '10.0.0.1', '10.0.0.2', '10.0.0.9', '10.0.0.10', '10.0.1.1'];
  test('any history of a mh service, drains and restarts included, ends in one canonical order with what is desired', () => {
    const change = fc.record({
      list: fc.subarray(addresses, { minLength: 1 }),
      expire: fc.boolean(),
      restart: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 10 }), (history) => {
        const kernel = fakeKernel();
        let observed = emptyObserved();
        const pass = (desired: IpvsState): void => {
          const { steps } = plan(desired, observed);
          for (const step of steps) for (const args of ipvsadmLines(step)) kernel.run(args);
          for (const step of steps) applyStep(observed, step);
          expect(plan(desired, observed).steps).toEqual([]);
        };
        const expire = (desired: IpvsState): void => {
          for (const item of observed.items.values()) {
            if (item.type !== 'vs') continue;
            for (const server of item.servers)
              if (server.weight === 0) observed.drained.add(drainKey(item.key, server));
          }
          pass(desired);
        };
        let desired = state([]);
        for (const { list, expire: over, restart } of history) {
          desired = state([vs(canonical.filter((address) => list.includes(address)))]);
          pass(desired);
          if (over) expire(desired);
          if (!restart) continue;
          const read = parseServers(kernel.list()).map(({ item }) => item);
          observed = { ...emptyObserved(), items: new Map(read.map((item) => [item.key, item])) };
          // As the target takes up drains that it finds.
          for (const { key, servers } of read)
            for (const server of servers) if (server.weight === 0) observed.draining.add(drainKey(key, server));
        }
        expire(desired);
        const wanted = desired.items.get(KEY);
        const names = wanted?.type === 'vs' ? wanted.servers.map(({ address }) => `${address}:8080`) : [];
        expect(kernel.services.get('-t 10.96.0.1:80')?.servers.map(({ name }) => name)).toEqual(names.reverse());
        expect(kernel.services.get('-t 10.96.0.1:80')?.servers.every(({ weight }) => weight === '1')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

test('after a reading, what agrees is one object for both maps, and what differs stays as it was read', () => {
  const addr = (key: string, source: string, kernelRoute?: true): IpvsItem => ({
    type: 'addr',
    key: `addr/${key}`,
    family: 4,
    address: key,
    source,
    ...(kernelRoute === undefined ? {} : { kernelRoute }),
  });
  const desired = state([vs(['10.1.0.1', '10.1.0.2']), addr('10.96.0.1', '10.0.0.1'), addr('10.96.0.2', '10.0.0.1')]);
  const observed = emptyObserved();
  const read = [vs(['10.1.0.1', '10.1.0.2']), addr('10.96.0.1', '10.0.0.1'), addr('10.96.0.2', '10.0.0.1', true)];
  for (const item of read) observed.items.set(item.key, item);
  const before = plan(desired, observed);
  shareItems(desired, observed);
  expect(observed.items.get(KEY)).toBe(desired.items.get(KEY));
  expect(observed.items.get('addr/10.96.0.1')).toBe(desired.items.get('addr/10.96.0.1'));
  expect(observed.items.get('addr/10.96.0.2')).toBe(read[2]);
  expect(plan(desired, observed)).toEqual(before);

  observed.items.set(KEY, vs(['10.1.0.2', '10.1.0.1']));
  shareItems(desired, observed);
  expect(observed.items.get(KEY)).not.toBe(desired.items.get(KEY));
});

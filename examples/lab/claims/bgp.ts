/** Sessions of the router with every node, and what its table holds: each pod network by its node, each VIP by all. */
import type { Lab } from '../lab.ts';
import type { Report } from '../report.ts';
import { vtysh } from '../router.ts';
import { until } from '../shell.ts';
import { bare, nodes, tor } from '../topology.ts';

/** `{ "192.168.1.11": { "state": "Established" } }` */
interface Summary {
  readonly peers?: Readonly<Record<string, { readonly state?: string }>>;
}

/** A prefix's paths in `show bgp … json`. */
interface Table {
  readonly routes?: Readonly<Record<string, readonly { readonly nexthops?: readonly { readonly ip: string }[] }[]>>;
}

const families = [
  { name: 'IPv4', command: 'ipv4', address: 0 },
  { name: 'IPv6', command: 'ipv6', address: 1 },
] as const;

/** Next hops (global addresses) of each prefix in the router's BGP table. */
export async function routerTable(lab: Lab, family: 'ipv4' | 'ipv6'): Promise<Map<string, string[]>> {
  const text = await vtysh(lab.place(tor.name), `show bgp ${family} unicast json`);
  const table = JSON.parse(text) as Table;
  return new Map(
    Object.entries(table.routes ?? {}).map(([prefix, paths]) => [
      prefix,
      paths.flatMap((path) => (path.nexthops ?? []).map(({ ip }) => ip).filter((ip) => !ip.startsWith('fe80'))).sort(),
    ]),
  );
}

export async function bgpClaims(lab: Lab, report: Report): Promise<void> {
  for (const family of families) {
    const wanted = nodes.map((node) => bare(node.addresses[family.address] ?? ''));
    await report.claim(`${family.name} sessions of the router with every node`, async () => {
      let states: (readonly [string, string])[] = [];
      const up = await until(async () => {
        const text = await vtysh(lab.place(tor.name), `show bgp ${family.command} unicast summary json`);
        const summary = JSON.parse(text) as Summary;
        states = wanted.map((peer) => [peer, summary.peers?.[peer]?.state ?? 'absent'] as const);
        return states.every(([, state]) => state === 'Established');
      }, 30_000);
      const seen = states.map(([peer, state]) => `${peer} ${state}`).join(', ');
      if (up === undefined) throw new Error(seen);
      return seen;
    });
  }
  for (const family of families) {
    const byNode = nodes.map((node, index) => ({
      prefix: family.name === 'IPv4' ? `10.1.${index + 1}.0/24` : `fd00:10:1:${index + 1}::/64`,
      nextHop: bare(node.addresses[family.address] ?? ''),
    }));
    const vip = family.name === 'IPv4' ? '203.0.113.80/32' : '2001:db8:f00d::80/128';
    await report.claim(
      `the router's ${family.name} table: each pod network by its node, the VIP by all three`,
      async () => {
        let table = new Map<string, string[]>();
        const right = await until(async () => {
          table = await routerTable(lab, family.command);
          return (
            byNode.every(({ prefix, nextHop }) => table.get(prefix)?.join() === nextHop) && table.get(vip)?.length === 3
          );
        }, 30_000);
        const seen = [...byNode.map(({ prefix }) => prefix), vip]
          .map((prefix) => `${prefix} via ${table.get(prefix)?.join(' ') ?? 'nobody'}`)
          .join('; ');
        if (right === undefined) throw new Error(seen);
        return seen;
      },
    );
    await report.claim(`the router's kernel spreads the ${family.name} VIP (ECMP)`, async () => {
      const wide = await until(async () => {
        const text = await lab.place(tor.name).sh(`ip -${family.name === 'IPv4' ? 4 : 6} route show ${vip}`);
        const hops = text.match(/nexthop|via/g)?.length ?? 0;
        return hops >= 3 && text;
      }, 10_000);
      if (wide === undefined) throw new Error(await lab.place(tor.name).sh(`ip route show ${vip}`));
      return `${wide.match(/dev/g)?.length ?? 0} next hops`;
    });
  }
}

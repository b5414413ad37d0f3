/**
 * Random cases for the packet harness, in its own format: clusters and policies as Kubernetes JSON with every form that the API
 * allows and people rarely write, and truth tables by `evaluate`, which shares nothing with what compiles the rules. Every other case is
 * crowded: most pods are of one node, each has policies of its own, and few of these name another protocol than TCP.
 *   random-cases.ts FOLDER [COUNT] [SEED]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { evaluate } from '../../src/firewall/index.ts';
import { project } from '../../src/objects/index.ts';
import type { ObjectKind, ObjectKinds } from '../../src/objects/index.ts';

const [folder = '', count = '20', seed = '1'] = process.argv.slice(2);
let state = Number(seed) >>> 0;
let crowded = false;

/** mulberry32: the same cases for the same seed. */
function random(): number {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
}
const chance = (probability: number): boolean => random() < probability;
const below = (limit: number): number => Math.floor(random() * limit);
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
const some = <T>(most: number, make: (index: number) => T): T[] =>
  Array.from({ length: below(most + 1) }, (_, i) => make(i));
const many = <T>(least: number, most: number, make: (index: number) => T): T[] =>
  Array.from({ length: least + below(most - least + 1) }, (_, i) => make(i));

type Json = Record<string, unknown>;

const LONG = 'n'.repeat(63);
const SPACES = ['x', 'y', LONG];
const PODS = ['a', 'b', 'c'];
const NODES = ['node1', 'node2'];
const EXTERNALS = [
  { name: 'ext-a', ips: ['203.0.113.10', '2001:db8:a::10'] },
  { name: 'ext-b', ips: ['198.51.100.20', '2001:db8:b::20'] },
];
const PORTS = ['TCP/80', 'TCP/81', 'UDP/80', 'UDP/81', 'SCTP/80', 'SCTP/81'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'];
const MOSTLY_TCP = ['TCP', 'TCP', 'TCP', 'TCP', 'TCP', 'UDP', 'SCTP'];

const node = (name: string): Json => {
  const n = name.slice(-1);
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: { podCIDR: `10.244.${n}.0/24`, podCIDRs: [`10.244.${n}.0/24`, `fd00:10:244:${n}::/64`] },
    status: {
      addresses: [
        { type: 'InternalIP', address: `172.31.0.1${n}` },
        { type: 'InternalIP', address: `fd00:31::1${n}` },
      ],
    },
  };
};

const labels = (name: string): Json => ({
  ...(crowded ? { name } : {}),
  ...(chance(0.7) ? { app: pick(['web', 'db', '']) } : {}),
  ...(chance(0.5) ? { tier: pick(['1', '2']) } : {}),
});

const containerPort = (): Json => ({
  ...(chance(0.85) ? { name: pick(['web', 'dns', 'serve-80']) } : {}),
  containerPort: pick([80, 81]),
  ...(chance(0.7) ? { protocol: pick(PROTOCOLS) } : {}),
});

function pod(namespace: string, name: string, host: number): Json {
  const nodeName = crowded && chance(0.9) ? 'node1' : pick(NODES);
  const n = nodeName.slice(-1);
  const ips = [`10.244.${n}.${host}`, `fd00:10:244:${n}::${host}`].filter(() => chance(0.93));
  const phase = chance(0.85) ? 'Running' : pick(['Pending', 'Unknown', 'Succeeded', 'Failed']);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace,
      name,
      ...(chance(0.9) ? { labels: labels(name) } : {}),
      ...(chance(0.1) ? { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 } : {}),
    },
    spec: {
      nodeName,
      ...(chance(0.07) ? { hostNetwork: true } : {}),
      containers: many(1, 2, (index) => ({ name: `c${index}`, image: 'i', ports: some(3, containerPort) })),
      ...(chance(0.3)
        ? {
            initContainers: [
              { name: 'i', image: 'i', ...(chance(0.5) ? { restartPolicy: 'Always' } : {}), ports: [containerPort()] },
            ],
          }
        : {}),
    },
    status: {
      phase,
      hostIP: `172.31.0.1${n}`,
      hostIPs: [{ ip: `172.31.0.1${n}` }, { ip: `fd00:31::1${n}` }],
      ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    },
  };
}

const requirement = (key: string, values: readonly string[]): Json => {
  const operator = pick(['In', 'NotIn', 'Exists', 'DoesNotExist']);
  return { key, operator, ...(operator.endsWith('In') ? { values: many(1, 3, () => pick(values)) } : {}) };
};
const podSelector = (): Json => ({
  ...(chance(0.5) ? { matchLabels: pick([{ app: 'web' }, { app: 'db' }, { tier: '1' }, { app: '' }, {}]) } : {}),
  ...(chance(0.4)
    ? {
        matchExpressions: many(1, 2, () =>
          chance(0.5) ? requirement('app', ['web', 'db', '', 'none']) : requirement('tier', ['1', '2']),
        ),
      }
    : {}),
});
const namespaceSelector = (): Json => ({
  ...(chance(0.5) ? { matchLabels: pick([{ ns: 'x' }, { ns: 'y' }, { env: 'prod' }, {}]) } : {}),
  ...(chance(0.4)
    ? {
        matchExpressions: [chance(0.5) ? requirement('ns', ['x', 'y', 'none']) : requirement('env', ['prod', 'dev'])],
      }
    : {}),
});

const BLOCKS: readonly (readonly [string, readonly string[]])[] = [
  ['0.0.0.0/0', ['10.244.0.0/16', '203.0.113.0/24', '0.0.0.0/1', '128.0.0.0/1', '10.244.1.10/32']],
  ['10.244.0.0/16', ['10.244.1.0/24', '10.244.1.0/28', '10.244.2.8/29', '10.244.1.10/31', '10.244.0.0/17']],
  ['10.244.1.77/24', ['10.244.1.11/32', '10.244.1.10/30', '10.244.1.99/28']],
  ['010.244.001.010/32', ['10.244.1.10/32']],
  ['128.0.0.0/1', ['203.0.113.10/32', '172.31.0.0/16']],
  ['203.0.113.0/24', ['203.0.113.8/29', '203.0.113.10/32']],
  ['172.31.0.0/24', ['172.31.0.11/32']],
  ['::/0', ['fd00::/8', '2001:db8::/32', '::/1', '8000::/1']],
  ['fd00:10:244::/48', ['fd00:10:244:1::/64', 'fd00:10:244:1::a/127', 'FD00:10:244:2::10/124']],
  ['fd00:10:244:1::ffff/64', ['fd00:10:244:1::10/128', 'fd00:10:244:1:0::8/125']],
  ['2001:DB8::/32', ['2001:db8:a::/48', '2001:db8:b::20/128']],
];
function peer(): Json {
  if (chance(0.4)) {
    const [cidr, except] = pick(BLOCKS);
    const out = some(3, () => pick(except));
    return { ipBlock: { cidr, ...(out.length > 0 || chance(0.2) ? { except: out } : {}) } };
  }
  const kind = below(3);
  return {
    ...(kind === 1 ? {} : { podSelector: podSelector() }),
    ...(kind === 0 ? {} : { namespaceSelector: namespaceSelector() }),
  };
}
function port(): Json {
  const protocol = chance(0.75) ? { protocol: pick(crowded ? MOSTLY_TCP : PROTOCOLS) } : {};
  const kind = below(10);
  if (kind < 2) return { ...protocol };
  if (kind < 5) return { ...protocol, port: pick(['web', 'dns', 'serve-80', 'none']) };
  if (kind < 7) return { ...protocol, port: pick([1, 79, 80, 81]), endPort: pick([81, 82, 65535]) };
  return { ...protocol, port: pick([80, 81, 82]) };
}
function rule(side: 'from' | 'to'): Json {
  const ports = chance(0.08)
    ? Array.from({ length: 40 }, (_, index) => ({
        protocol: pick(PROTOCOLS),
        port: index % 7 === 0 ? 80 : 1000 + index,
      }))
    : some(3, port);
  const peers = some(3, peer);
  return {
    ...(peers.length > 0 || chance(0.3) ? { [side]: peers } : {}),
    ...(ports.length > 0 || chance(0.3) ? { ports } : {}),
  };
}
function policy(namespace: string, name: string, selector?: Json): Json {
  const types = pick([undefined, undefined, ['Ingress'], ['Egress'], ['Ingress', 'Egress'], []]);
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace, name },
    spec: {
      podSelector: selector ?? (chance(0.3) ? {} : podSelector()),
      ...(types === undefined ? {} : { policyTypes: types }),
      ...(chance(0.75) ? { ingress: some(3, () => rule('from')) } : {}),
      ...(chance(0.6) ? { egress: some(3, () => rule('to')) } : {}),
    },
  };
}

interface Objects {
  nodes: Json[];
  namespaces: Json[];
  pods: Json[];
  networkPolicies: Json[];
}

function read<Kind extends ObjectKind>(kind: Kind, raw: readonly Json[]): ObjectKinds[Kind][] {
  return raw.flatMap((one) => {
    const { object } = project(kind, one);
    return object === undefined ? [] : [object];
  });
}

function expected(objects: Objects): Json {
  const model = {
    nodes: read('Node', objects.nodes),
    namespaces: read('Namespace', objects.namespaces),
    pods: read('Pod', objects.pods),
    policies: read('NetworkPolicy', objects.networkPolicies),
  };
  const ends = [
    ...model.pods
      .filter(
        ({ ips, hostNetwork, phase }) => ips.length > 0 && !hostNetwork && phase !== 'Succeeded' && phase !== 'Failed',
      )
      .map(({ namespace, name, ips, nodeName }) => ({ name: `${namespace}/${name}`, ips, own: nodeName })),
    ...model.nodes.map(({ name, addresses }) => ({ name, ips: addresses.map(({ address }) => address), own: '' })),
    ...EXTERNALS.map(({ name, ips }) => ({ name, ips, own: '' })),
  ];
  const table = (only: string | undefined): Json => {
    const families: Json = {};
    for (const [family, six] of [
      ['IPv4', false],
      ['IPv6', true],
    ] as const) {
      const address = (ips: readonly string[]): string | undefined => ips.find((ip) => ip.includes(':') === six);
      const ports: Json = {};
      for (const text of PORTS) {
        const [protocol = '', number = ''] = text.split('/');
        const rows: Json = {};
        for (const from of ends) {
          rows[from.name] = ends
            .map((to) => {
              const [source, destination] = [address(from.ips), address(to.ips)];
              const pods = from.own !== '' || to.own !== '';
              if (source === undefined || destination === undefined || !pods) return '-';
              if (from === to) return '.';
              const answer = evaluate(
                { ...model, ...(only === undefined ? {} : { node: only }) },
                { source, destination, protocol: protocol.toLowerCase(), port: Number(number) },
              );
              if (
                to.name === from.own &&
                answer.egress.reason !== 'unselected' &&
                answer.egress.reason !== 'elsewhere'
              ) {
                return '?';
              }
              return answer.verdict === 'allow' ? '.' : 'X';
            })
            .join('');
        }
        ports[text] = rows;
      }
      families[family] = ports;
    }
    return families;
  };
  return { endpoints: ends.map(({ name }) => name), tables: table(undefined), tablesNode1Only: table('node1') };
}

function world(): Objects {
  let host = 9;
  return {
    nodes: NODES.map(node),
    namespaces: SPACES.map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name,
        ...(chance(0.8) ? { labels: { ns: name, ...(chance(0.5) ? { env: pick(['prod', 'dev']) } : {}) } } : {}),
      },
    })),
    pods: SPACES.flatMap((space) => PODS.filter(() => chance(0.9)).map((name) => pod(space, name, (host += 1)))),
    networkPolicies: [
      ...many(1, crowded ? 2 : 5, (index) => policy(pick(SPACES), index === 0 ? 'p'.repeat(253) : `p${index}`)),
      ...(crowded ? SPACES : []).flatMap((space) =>
        PODS.map((name) => policy(space, `own-${name}`, { matchLabels: { name } })),
      ),
    ],
  };
}

/** The next step: another policy, other labels of a pod or of a namespace, a policy less. */
function changed(before: Objects): Objects {
  const after = structuredClone(before);
  const kind = below(4);
  if (kind === 0) after.networkPolicies.push(policy(pick(SPACES), `q${below(1000)}`));
  else if (kind === 1) (pick(after.pods)['metadata'] as Json)['labels'] = labels(pick(PODS));
  else if (kind === 2)
    (pick(after.namespaces)['metadata'] as Json)['labels'] = { ns: pick(['x', 'y']), env: pick(['prod', 'dev']) };
  else after.networkPolicies.splice(below(after.networkPolicies.length), 1);
  return after;
}

mkdirSync(folder, { recursive: true });
for (let index = 0; index < Number(count); index++) {
  const name = `random-${seed}-${String(index).padStart(3, '0')}`;
  crowded = index % 2 === 1;
  let objects = world();
  const steps = many(1, 3, (step) => {
    if (step > 0) objects = changed(objects);
    return { name: `step ${step}`, objects, expected: expected(objects) };
  });
  const one = { schema: 1, name, family: 'random', tags: ['random'], externals: EXTERNALS, ports: PORTS, steps };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(one));
}
console.log(`${count} cases of seed ${seed} in ${folder}`);

/**
 * The policy firewall by packets, on the machine's kernel: the mistakes that others made, starting closed, changing the backend,
 * cleaning up, and living beside other programs. Expected outcomes are written by hand from the API's text.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  cleanupFirewall,
  compile,
  createFirewallTarget,
  createPolicyCompiler,
  watchDenials,
} from '../../src/firewall/index.ts';
import { createRunner } from '../../src/kernel/index.ts';
import type { Runner } from '../../src/kernel/index.ts';
import type { Denial, FirewallTargetOptions } from '../../src/firewall/index.ts';
import type { ClusterNetworkPolicyObject, NetworkPolicyObject, PodObject } from '../../src/objects/index.ts';
import { createLab } from '../support/firewall/lab.ts';
import type { Lab } from '../support/firewall/lab.ts';
import { clusterPolicy, labels, namespace, pod, policy } from '../support/firewall/objects.ts';

const BACKENDS = {
  'iptables-legacy': { backend: 'iptables', flavour: 'legacy' },
  'iptables-nft': { backend: 'iptables', flavour: 'nft' },
  nftables: { backend: 'nftables' },
} as const;
type Backend = keyof typeof BACKENDS;

const A = ['10.1.0.1', 'fd00:1::1'];
const B = ['10.1.0.2', 'fd00:1::2'];
const C = ['10.1.0.3'];
const OUT = ['192.0.2.9', '2001:db8::9'];
const NODE = ['10.99.0.1', 'fd00:99::1'];

const ports = (...named: [string, number][]): Partial<PodObject> => ({
  ports: named.map(([name, port]) => ({ name, port, protocol: 'TCP' as const })),
});
const pods = [
  pod('x/a', A, { app: 'a' }, ports(['web', 80])),
  pod('x/b', B, { app: 'b' }, ports(['web', 80], ['alt', 81])),
  pod('y/c', C, { app: 'c' }, ports(['web', 81])),
];
const namespaces = [namespace('x', { team: 'one' }), namespace('y', { team: 'two' })];
const all = labels();
const anyone = { peers: [], ports: [] };

let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ a: { ips: A }, b: { ips: B }, c: { ips: C }, out: { ips: OUT } });
}, 60_000);
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
}, 30_000);

/** Puts exactly these policies in force and reads back that nothing is left to do. */
async function enforce(
  backend: Backend,
  policies: readonly NetworkPolicyObject[],
  options: Partial<FirewallTargetOptions> & {
    readonly known?: readonly PodObject[];
    readonly clusterPolicies?: readonly ClusterNetworkPolicyObject[];
  } = {},
): Promise<void> {
  const { known = pods, clusterPolicies = [], ...rest } = options;
  const { state } = compile({
    node: 'n1',
    pods: known,
    namespaces,
    policies,
    clusterPolicies,
    localPods: rest.defaultDeny !== undefined,
  });
  const target = createFirewallTarget({ runner: lab.runner, netns: lab.netns, ...BACKENDS[backend], ...rest });
  const { signal } = new AbortController();
  const { failures } = await target.apply(target.plan(state, await target.observe(signal), { prune: true }), signal);
  for (const { error } of failures) throw error;
  expect(target.size(target.plan(state, await target.observe(signal), { prune: true }))).toBe(0);
}

/** Outcomes as one line: `a>b:80 passed`; names stand for addresses. */
async function outcomes(questions: readonly string[]): Promise<string[]> {
  const hosts: Record<string, readonly string[]> = { a: A, b: B, c: C, out: OUT, node: NODE };
  return Promise.all(
    questions.map(async (question) => {
      const [from = '', to = '', port = '', family = '4'] = question.split(/[>:/]/);
      const host = hosts[to]?.find((ip) => ip.includes(':') === (family === '6')) ?? '';
      const outcome = await lab.probe(from, 'tcp', host, Number(port));
      // Not every kernel ends an IPv6 connect at the ICMP error that it gets.
      return `${question} ${family === '6' && outcome === 'dropped' ? 'rejected' : outcome}`;
    }),
  );
}

const expectOutcomes = async (...lines: string[]): Promise<void> => {
  expect(await outcomes(lines.map((line) => line.slice(0, line.indexOf(' '))))).toEqual(lines);
};

const tcp = (port: number | string) => [{ protocol: 'TCP' as const, port }];
const from = (block: string, except: readonly string[] = []) => ({ ipBlock: { cidr: block, except } });

describe.each(Object.keys(BACKENDS) as Backend[])('%s', (backend) => {
  test('a rule of one direction never satisfies the other', async () => {
    await enforce(backend, [policy('x/both', all, { ingress: [], egress: [anyone] })]);
    await expectOutcomes(
      'a>b:80 rejected',
      'a>b:80/6 rejected',
      'a>out:80 passed',
      'out>a:80 rejected',
      'node>a:80 passed',
    );
    await enforce(backend, [policy('x/both', all, { ingress: [anyone], egress: [] })]);
    await expectOutcomes('a>b:80 rejected', 'out>a:80 passed', 'out>b:81/6 passed', 'a>out:80 rejected');
  });

  test('a named port is resolved on the destination, and on none it matches nothing', async () => {
    await enforce(backend, [policy('x/named', all, { ingress: [{ peers: [], ports: tcp('nowhere') }] })]);
    await expectOutcomes('out>a:80 rejected', 'out>b:81 rejected');
    await enforce(backend, [policy('x/named', all, { ingress: [{ peers: [], ports: tcp('alt') }] })]);
    await expectOutcomes('out>b:81 passed', 'out>b:80 rejected', 'out>a:81 rejected');
    await enforce(backend, [policy('x/named', all, { egress: [{ peers: [], ports: tcp('web') }] })]);
    await expectOutcomes('a>b:80 passed', 'a>c:81 passed', 'a>c:80 rejected', 'a>out:80 rejected');
  });

  test('blocks and exceptions of one rule do not defeat each other, and /0 is everything of its family', async () => {
    const rule = { peers: [from('192.0.2.0/24', ['192.0.2.9/32']), from('192.0.2.8/29')], ports: [] };
    await enforce(backend, [policy('x/blocks', all, { ingress: [rule] })]);
    await expectOutcomes('out>a:80 passed', 'b>a:80 rejected', 'out>a:80/6 rejected');
    await enforce(backend, [policy('x/blocks', all, { ingress: [{ peers: [from('::/0')], ports: [] }] })]);
    await expectOutcomes('out>a:80/6 passed', 'b>a:80/6 passed', 'out>a:80 rejected');
    await enforce(backend, [
      policy('x/blocks', all, { ingress: [{ peers: [from('0.0.0.0/0', ['192.0.2.9/32'])], ports: [] }] }),
    ]);
    await expectOutcomes('out>a:80 rejected', 'b>a:80 passed', 'c>a:80 passed');
  });

  test('an empty set of peers is nobody, a peer of one family nobody of the other', async () => {
    const nobody = { peers: [{ podSelector: labels({ app: 'missing' }) }], ports: [] };
    await enforce(backend, [policy('x/none', all, { ingress: [nobody] })]);
    await expectOutcomes('b>a:80 rejected', 'out>a:80 rejected');
    const four = { peers: [{ namespaceSelector: labels({ team: 'two' }) }], ports: [] };
    await enforce(backend, [policy('x/four', all, { ingress: [four] })]);
    await expectOutcomes('c>a:80 passed', 'b>a:80 rejected', 'b>a:80/6 rejected');
  });

  test('a class that alone has rules for a protocol judges it, and all else, as the others do', async () => {
    const known = [
      ...pods,
      ...['d', 'e', 'f'].map((app, at) => pod(`x/${app}`, [`10.1.0.${at + 11}`, `fd00:1::${at + 11}`], { app })),
    ];
    const udp = (port: number) => [{ protocol: 'UDP' as const, port }];
    const web = { peers: [{ podSelector: labels({ app: 'b' }) }], ports: tcp('web') };
    await enforce(
      backend,
      [
        policy('x/a', labels({ app: 'a' }), { ingress: [web] }),
        ...['d', 'e', 'f'].map((app, at) =>
          policy(`x/${app}`, labels({ app }), { ingress: [{ peers: [], ports: udp(at + 1) }] }),
        ),
      ],
      { known },
    );
    // By the way of its own; b has no policy.
    await expectOutcomes('b>a:80 passed', 'b>a:80/6 passed', 'b>a:81 rejected', 'out>a:80 rejected', 'a>b:81 passed');
    // What has no way goes by the tree.
    expect(await lab.probe('b', 'udp', A[0]!, 80)).toBe('rejected');
    expect(await lab.probe('a', 'udp', B[0]!, 80)).toBe('passed');
  });

  test('names that run together stay apart, and long ones fit', async () => {
    const long = 'n'.repeat(253);
    await enforce(backend, [
      policy(`x/${long}`, labels({ app: 'a' }), { ingress: [{ peers: [], ports: tcp(80) }] }),
      policy('x/ab', labels({ app: 'b' }), { ingress: [{ peers: [], ports: tcp(81) }] }),
      policy('xa/b', labels({ app: 'b' }), { ingress: [anyone] }),
    ]);
    await expectOutcomes('out>a:80 passed', 'out>a:81 rejected', 'out>b:81 passed', 'out>b:80 rejected');
  });

  test('many ports and ranges', async () => {
    const many = Array.from({ length: 40 }, (_, index) => ({ protocol: 'TCP' as const, port: 1000 + index * 2 }));
    await enforce(backend, [
      policy('x/many', all, { ingress: [{ peers: [], ports: [...many, ...many, ...tcp(81)] }] }),
    ]);
    await expectOutcomes('out>a:81 passed', 'out>a:80 rejected');
    await enforce(backend, [
      policy('x/range', all, { ingress: [{ peers: [], ports: [{ protocol: 'TCP', port: 1, endPort: 65535 }] }] }),
    ]);
    await expectOutcomes('out>a:80 passed', 'out>a:81/6 passed');
    expect(await lab.probe('out', 'udp', A[0]!, 80)).toBe('rejected');
  });

  test.each([
    ['', {}],
    [', with live revocation', { revocationMask: 0x0ff00000 }],
  ])('one pod added, relabelled or removed is one process of each tool%s', async (_, options) => {
    const calls: string[] = [];
    const runner: Runner = {
      ...lab.runner,
      run: (command, options) => {
        calls.push(command.file);
        return lab.runner.run(command, options);
      },
    };
    const target = createFirewallTarget({ runner, netns: lab.netns, ...BACKENDS[backend], ...options });
    const { signal } = new AbortController();
    const compiler = createPolicyCompiler({ node: 'n1' });
    const fromB = [{ peers: [{ podSelector: labels({ app: 'b' }) }], ports: [] }];
    const policies = [
      policy('x/of-a', labels({ app: 'a' }), { ingress: fromB }),
      policy('x/of-b', labels({ app: 'b' }), { ingress: [], egress: [anyone] }),
    ];
    compiler.update({
      pods: pods.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
      namespaces: namespaces.map((object) => ({ key: object.name, object })),
      policies: policies.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
    });
    let known = await target.observe(signal);
    const apply = async (dirty?: ReadonlySet<string>): Promise<readonly string[]> => {
      calls.length = 0;
      const plan = target.plan(compiler.state, known, { prune: true, ...(dirty === undefined ? {} : { dirty }) });
      const { observed, failures } = await target.apply(plan, signal);
      expect(failures).toEqual([]);
      if (observed !== undefined) known = observed;
      return calls;
    };
    await apply();
    for (const app of ['a', 'b', 'a', undefined]) {
      const object = app === undefined ? undefined : pod('x/new', ['10.1.0.9', 'fd00:1::9'], { app });
      const used = await apply(compiler.update({ pods: [{ key: 'x/new', object }] }).dirty);
      expect(new Set(used).size, `${app}: ${used.join()}`).toBe(used.length);
      expect(used.length).toBeGreaterThan(0);
    }
    expect(target.size(target.plan(compiler.state, await target.observe(signal), { prune: true }))).toBe(0);
    await enforce(backend, []);
  });

  test('finished pods lend their address to nobody', async () => {
    const gone = pod('x/gone', OUT, { app: 'b' }, { phase: 'Succeeded' });
    const rule = { peers: [{ podSelector: labels({ app: 'b' }) }], ports: [] };
    await enforce(backend, [policy('x/peer', labels({ app: 'a' }), { ingress: [rule] })], { known: [...pods, gone] });
    await expectOutcomes('b>a:80 passed', 'out>a:80 rejected');
  });

  test('under default deny a pod that is not programmed talks to nobody but its node', async () => {
    const defaultDeny = ['10.1.0.0/24', 'fd00:1::/64'];
    await enforce(backend, [], { defaultDeny, known: pods.slice(1) });
    await expectOutcomes(
      'b>a:80 rejected',
      'a>b:80 rejected',
      'a>out:80/6 rejected',
      'out>b:80 passed',
      'node>a:80 passed',
    );
    await enforce(backend, [], { defaultDeny });
    await expectOutcomes('b>a:80 passed', 'a>out:80/6 passed');
    await enforce(backend, []);
  });

  test('live revocation cuts flows that a tightened policy no longer allows, and only those', async () => {
    const options = { revocationMask: 0x0ff00000 };
    const only = (block: string) => [
      policy('x/from', labels({ app: 'a' }), { ingress: [{ peers: [from(block)], ports: [] }] }),
    ];
    await enforce(backend, only('0.0.0.0/0'), options);
    for (const name of ['b', 'c', 'out']) expect(await lab.open(name, backend, A[0]!, 80)).toBe('passed');
    const pings = async (): Promise<string[]> => Promise.all(['b', 'c', 'out'].map((name) => lab.ping(name, backend)));
    expect(await pings()).toEqual(['passed', 'passed', 'passed']);
    await enforce(backend, only('10.1.0.0/24'), options);
    expect(await pings()).toEqual(['passed', 'passed', 'dropped']);
    await enforce(backend, only('10.1.0.2/32'), options);
    expect(await pings()).toEqual(['passed', 'dropped', 'dropped']);
    await enforce(backend, []);
  });

  test('Admin tier before NetworkPolicies, Baseline tier for whom none selects', async () => {
    const everybody = { namespaceSelector: all, podSelector: all };
    const who = (app: string) => ({ ...everybody, podSelector: labels({ app }) });
    const rule = (action: 'Accept' | 'Deny' | 'Pass', peer: object, tcpPort?: number) => ({
      action,
      name: '',
      peers: [peer as ReturnType<typeof who>],
      ports: tcpPort === undefined ? [] : tcp(tcpPort),
    });
    const admin = clusterPolicy('admin', 'Admin', {
      ingress: [rule('Accept', who('b'), 80), rule('Pass', who('b')), rule('Deny', who('c'))],
    });
    const baseline = clusterPolicy('base.line', 'Baseline', {
      egress: [rule('Deny', from('0.0.0.0/0')), rule('Deny', from('2001:db8::/32'))],
    });
    const closed = policy('x/closed', labels({ app: 'a' }), { ingress: [] });
    const opened = policy('x/opened', labels({ app: 'b' }), { egress: [anyone] });
    await enforce(backend, [closed, opened], { clusterPolicies: [admin, baseline] });
    await expectOutcomes(
      'b>a:80 passed', // accepted by the Admin tier
      'b>a:80/6 passed',
      'b>a:81 rejected', // passed on to x/closed
      'out>a:80 rejected', // of no tier's concern but of x/closed's
      'c>b:80 rejected', // denied by the Admin tier, and besides by the Baseline tier
      'out>b:80 passed',
      'b>out:80 passed', // x/opened judges it, so the Baseline tier is not asked
      'a>out:80 rejected',
      'a>out:80/6 rejected',
      'a>b:80/6 passed', // fd00::/8 is nowhere denied
    );
    await enforce(backend, [closed, opened], { clusterPolicies: [baseline] });
    await expectOutcomes('b>a:80 rejected', 'c>b:80 rejected', 'b>out:80 passed', 'a>out:80 rejected');
    await enforce(backend, []);
    await expectOutcomes('a>out:80 passed', 'c>b:80 passed', 'b>a:81 passed');
  });

  test('a dry run refuses nothing and tells what it would', async () => {
    const policies = [policy('x/deny', labels({ app: 'a' }), { ingress: [] })];
    const clusterPolicies = [
      clusterPolicy('no-c', 'Admin', {
        ingress: [
          {
            action: 'Deny',
            name: '',
            peers: [{ namespaceSelector: all, podSelector: labels({ app: 'c' }) }],
            ports: [],
          },
        ],
      }),
    ];
    const { state } = compile({ node: 'n1', pods, namespaces, policies, clusterPolicies });
    const told: Denial[] = [];
    const watching = watchDenials({ runner: createRunner(), netns: lab.netns, state: () => state }).subscribe(
      (denial) => told.push(denial),
    );
    const of = (source = ''): readonly string[] | undefined => told.find((one) => one.source === source)?.policies;
    try {
      await enforce(backend, policies, { clusterPolicies, dryRun: true });
      await vi.waitFor(
        async () => {
          await expectOutcomes('out>a:80 passed', 'c>a:80 passed');
          expect([of(OUT[0]), of(C[0])]).toEqual([['x/deny'], ['no-c']]);
        },
        // the log takes ten packets at once, then ten a minute: probes that come before its reader may not use them up
        { timeout: 20_000, interval: 2000 },
      );
    } finally {
      watching.unsubscribe();
    }
    // Both of a second come from the kernel in one piece.
    const known = [OUT[0], C[0]].map((source) => `${source} 80`);
    for (const { source, port } of told) expect(known).toContain(`${source} ${port}`);
    await enforce(backend, policies, { clusterPolicies });
    await expectOutcomes('out>a:80 rejected', 'c>a:80 rejected');
    await enforce(backend, []);
  });

  test('a refused flow is told with its policies', async () => {
    const policies = [
      policy('x/deny', labels({ app: 'a' }), { ingress: [] }),
      policy('x/few', labels({ app: 'a' }), { ingress: [] }),
    ];
    const { state } = compile({ node: 'n1', pods, namespaces, policies });
    const told: Denial[] = [];
    const watching = watchDenials({
      runner: createRunner(),
      netns: lab.netns,
      state: () => state,
      model: () => ({ pods, namespaces, policies }),
    }).subscribe((denial) => told.push(denial));
    try {
      await enforce(backend, policies);
      await vi.waitFor(
        async () => {
          await expectOutcomes('b>a:80 rejected');
          expect(told.length).toBeGreaterThan(0);
        },
        { timeout: 20_000, interval: 300 },
      );
    } finally {
      watching.unsubscribe();
    }
    expect(told[0]).toMatchObject({
      direction: 'ingress',
      source: B[0],
      destination: A[0],
      protocol: 'tcp',
      port: 80,
      policies: ['x/deny', 'x/few'],
      verdict: { verdict: 'deny', because: { reason: 'isolated', pod: 'x/a' } },
    });
    await enforce(backend, []);
  });

  test('taking over from another backend leaves no window, and takes its rules away', async () => {
    const deny = [policy('x/deny', all, { ingress: [] })];
    for (const before of (Object.keys(BACKENDS) as Backend[]).filter((other) => other !== backend)) {
      await enforce(before, deny);
      let open = 0;
      let asked = 0;
      let over = false;
      const watch = (async () => {
        while (!over) {
          asked++;
          if ((await lab.probe('out', 'udp', A[0]!, 80)) === 'passed') open++;
        }
      })();
      await enforce(backend, deny);
      over = true;
      await watch;
      expect(open).toBe(0);
      expect(asked).toBeGreaterThan(2);
    }
    const rules = [
      lab.inNode('iptables-legacy-save', []),
      lab.inNode('iptables-nft-save', []),
      lab.inNode('nft', ['list', 'tables']),
    ];
    const ours = rules.map((text) => /KUBE-NWPLCY|kube-router-filter/.test(text));
    expect(ours).toEqual([backend === 'iptables-legacy', backend === 'iptables-nft', backend === 'nftables']);
  });

  test('cleanup gives back exactly what was there', async () => {
    await cleanupFirewall({ runner: lab.runner, netns: lab.netns });
    for (const tool of ['iptables-legacy', 'iptables-nft', 'ip6tables-nft']) {
      lab.inNode(tool, ['-I', 'FORWARD', '-m', 'comment', '--comment', 'someone else', '-j', 'ACCEPT']);
    }
    lab.inNode('ipset', ['create', 'KUBE-SRC-OTHER', 'hash:ip']);
    const snapshot = (): string =>
      [
        lab.inNode('iptables-legacy-save', ['-t', 'filter']),
        lab.inNode('iptables-nft-save', ['-t', 'filter']),
        lab.inNode('ip6tables-nft-save', ['-t', 'filter']),
        lab.inNode('ipset', ['list', '-n']),
        lab.inNode('nft', ['list', 'tables']),
      ]
        .join('')
        .replace(/^#.*\n/gm, '')
        .replace(/\[\d+:\d+\]/g, '');
    const before = snapshot();
    await enforce(backend, [policy('x/deny', all, { ingress: [], egress: [anyone] })]);
    expect(snapshot()).not.toBe(before);
    const { failures, found } = await cleanupFirewall({ runner: lab.runner, netns: lab.netns });
    expect(failures).toEqual([]);
    expect(found.length).toBeGreaterThan(0);
    expect(snapshot()).toBe(before);
    for (const tool of ['iptables-legacy', 'iptables-nft', 'ip6tables-nft']) lab.inNode(tool, ['-F', 'FORWARD']);
    lab.inNode('ipset', ['destroy', 'KUBE-SRC-OTHER']);
  });
});

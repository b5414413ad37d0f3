/**
 * The built agent fed with manifests that are wrong in one place: the issue names that place, everything else is programmed into a
 * real kernel (IPVS, in a guest), and `run --once` exits 1. Reloading has a file of its own.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { bootUml, type UmlResult } from '../support/uml.ts';

const main = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
const node = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));

/** What every case has besides its mistake: a node, a Service with one endpoint, and a policy. */
const good = `apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.1.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.11 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
spec: { nodeName: node1, containers: [{ name: web, ports: [{ containerPort: 8080 }] }] }
status: { phase: Running, hostIP: 192.168.1.11, podIP: 10.1.1.5, podIPs: [{ ip: 10.1.1.5 }] }
---
apiVersion: v1
kind: Service
metadata: { name: good, namespace: default }
spec: { clusterIP: 10.96.0.10, selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: good-1, namespace: default, labels: { kubernetes.io/service-name: good } }
addressType: IPv4
ports: [{ port: 8080 }]
endpoints: [{ addresses: [10.1.1.5], nodeName: node1 }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: good, namespace: default }
spec: { podSelector: { matchLabels: { app: web } }, ingress: [{ ports: [{ port: 8080 }] }] }
`;

/** A Service whose \`spec\` is the text given. */
const service = (name: string, spec: string): string => `apiVersion: v1
kind: Service
metadata:
  name: ${name}
  namespace: default
spec:
${spec}
`;

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  /** `object`, `field` and the end of `source` of the issue that must be there. */
  readonly issue?: readonly [object: RegExp, field: string, source: RegExp];
}

/** The good documents with one more in front of them, so that what follows a mistake counts too. */
const before = (text: string): Readonly<Record<string, string>> => ({ 'all.yaml': `${text}---\n${good}` });
const beside = (name: string, text: string): Readonly<Record<string, string>> => ({ [name]: text, 'good.yaml': good });

const cases: readonly Case[] = [
  { name: 'nothing-wrong', files: { 'good.yaml': good } },
  {
    name: 'syntax-first',
    files: before(service('bad', '  clusterIP: 10.96.0.66\n  ports: [{ port: 80 }')),
    issue: [/^Service default\/bad$/, '', /all\.yaml:\d+:\d+$/],
  },
  {
    name: 'syntax-between',
    files: { 'all.yaml': `${good.replace('---\n', `---\n: : {\n---\n`)}` },
    issue: [/all\.yaml/, '', /all\.yaml:[67]:\d+$/],
  },
  {
    name: 'tabs',
    files: beside('bad.yaml', 'apiVersion: v1\nkind: Service\nmetadata:\n\tname: bad\n'),
    issue: [/bad/, '', /bad\.yaml:4:\d+$/],
  },
  {
    name: 'unknown-type',
    files: before(service('bad', '  type: Frobnicate\n  clusterIP: 10.96.0.66\n  ports: [{ port: 80 }]')),
    issue: [/^Service default\/bad$/, 'spec.type', /all\.yaml:7:3$/],
  },
  {
    name: 'wrong-type',
    files: before(service('bad', '  clusterIP: 10.96.0.66\n  ports: eighty')),
    issue: [/^Service default\/bad$/, 'spec.ports', /all\.yaml:8:3$/],
  },
  {
    name: 'wrong-type-deep',
    files: before(service('bad', '  clusterIP: 10.96.0.66\n  ports:\n    - port: 80\n    - port: [1]')),
    issue: [/^Service default\/bad$/, 'spec.ports[1].port', /all\.yaml:10:7$/],
  },
  {
    name: 'octal',
    files: before(service('bad', '  clusterIP: 010.0.0.1\n  ports: [{ port: 80 }]')),
    issue: [/^Service default\/bad$/, 'spec.clusterIP', /all\.yaml:7:3$/],
  },
  {
    name: 'octal-endpoint',
    files: before(
      [
        'apiVersion: discovery.k8s.io/v1',
        'kind: EndpointSlice',
        'metadata: { name: good-2, namespace: default, labels: { kubernetes.io/service-name: good } }',
        'addressType: IPv4',
        'ports: [{ port: 8080 }]',
        'endpoints:',
        '  - addresses: [010.1.1.6]',
        '  - addresses: [10.1.1.7]',
        '',
      ].join('\n'),
    ),
    issue: [/^EndpointSlice default\/good-2$/, 'endpoints[0].addresses[0]', /all\.yaml:7:\d+$/],
  },
  {
    name: 'json-syntax',
    files: beside('bad.json', '{"apiVersion": "v1",\n "kind": "Service",\n "metadata": {"name": "bad"},,\n}'),
    issue: [/bad/, '', /bad\.json:3:\d+$/],
  },
  {
    name: 'list-item',
    files: beside(
      'bad.json',
      JSON.stringify(
        {
          apiVersion: 'v1',
          kind: 'List',
          items: [
            { apiVersion: 'v1', kind: 'Service', metadata: { name: 'bad' }, spec: { clusterIP: '010.0.0.1' } },
            { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } },
          ],
        },
        undefined,
        1,
      ),
    ),
    issue: [/^Service default\/bad$/, 'spec.clusterIP', /bad\.json:12:\d+$/],
  },
  {
    name: 'policy-field',
    files: before(
      [
        'apiVersion: networking.k8s.io/v1',
        'kind: NetworkPolicy',
        'metadata: { name: bad, namespace: default }',
        'spec:',
        '  podSelector: {}',
        '  ingress:',
        '    - from: [{ ipBlock: { cidr: 10.0.0.300/8 } }]',
        '',
      ].join('\n'),
    ),
    issue: [/^NetworkPolicy default\/bad$/, 'spec.ingress[0].from[0].ipBlock.cidr', /all\.yaml:7:\d+$/],
  },
  {
    name: 'not-text',
    files: beside('bad.yaml', '\u0000\u0001\u0002binary\n'),
    issue: [/bad/, '', /bad\.yaml:1:\d+$/],
  },
];

const flags = '--hostname-override=node1 --run-router=false --service-cluster-ip-range=10.96.0.0/12';
// each case in a network namespace of its own, so that none sees what another left
const script = `
mkdir -p $UML_DIR/out /run/m
export NODE_COMPILE_CACHE=/run/compiled
fresh() { # fresh NAME: a node without anything
  ip netns add $1
  ip -n $1 link set lo up; ip -n $1 link add eth0 type dummy; ip -n $1 link set eth0 up; ip -n $1 addr add 192.168.1.11/24 dev eth0
}
set +e
for case in ${cases.map(({ name }) => name).join(' ')}; do
  mkdir -p /run/m/$case
  for file in $UML_DIR/$case@*; do cp "$file" "/run/m/$case/\${file##*@}"; done
  fresh $case
  ip netns exec $case ${node} ${main} run --once --output json --manifests=/run/m/$case ${flags} --run-dir=/run/kr-$case \
    > $UML_DIR/out/$case.json 2> $UML_DIR/out/$case.err
  echo $? > $UML_DIR/out/$case.code
  ip netns exec $case sh -c 'ipvsadm -Sn; iptables-save' > $UML_DIR/out/$case.kernel
done
exit 0
`;

interface Issue {
  readonly object: string;
  readonly field: string;
  readonly source?: string;
}

describe('the built agent with manifests that are wrong in one place', () => {
  let result: UmlResult;
  const out = (name: string): string => result.files[name] ?? '';
  beforeAll(async () => {
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
    const files = cases.flatMap((one) =>
      Object.entries(one.files).map(([file, text]) => [`${one.name}@${file}`, text] as const),
    );
    result = await bootUml({
      name: 'kr-manifests',
      memMb: 768,
      timeoutMs: 590_000,
      modules: ['ip_vs', 'ip_vs_rr', 'dummy'],
      files: Object.fromEntries(files),
      script,
    });
    if (result.exitCode !== 0) throw new Error(`guest: ${result.stderr}\n${result.stdout}`);
  }, 600_000);

  test.each(cases)('$name', ({ name, issue }) => {
    const { issues, blocks } = JSON.parse(out(`${name}.json`)) as {
      issues: Issue[];
      blocks: { name: string; remaining: number }[];
    };
    expect(issues).toHaveLength(issue === undefined ? 0 : 1);
    for (const { object, field, source } of issues) {
      expect(object).toMatch(issue?.[0] ?? /^$/);
      expect(field).toBe(issue?.[1]);
      expect(source).toMatch(issue?.[2] ?? /^$/);
    }
    expect(out(`${name}.code`).trim()).toBe(issue === undefined ? '0' : '1');
    // everything else is in the kernel
    expect(blocks.map((block) => `${block.name} ${block.remaining}`)).toEqual(['ipvs 0', 'firewall 0']);
    expect(out(`${name}.kernel`)).toContain('-a -t 10.96.0.10:80 -r 10.1.1.5:8080');
    expect(out(`${name}.kernel`)).toMatch(/--dport 8080/);
    expect(out(`${name}.kernel`)).not.toMatch(/(^|[^0-9])(10\.0\.0\.1|8\.0\.0\.1)([^0-9]|$)/);
  });

  test('a good endpoint beside a bad one serves', () => {
    expect(out('octal-endpoint.kernel')).toContain('-a -t 10.96.0.10:80 -r 10.1.1.7:8080');
  });
});

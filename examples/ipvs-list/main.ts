/**
 * IPVS from a plain YAML list: every entry becomes a Service and its endpoints, and from there on it is the block as it is:
 * compile, reconcile, kernel. `node main.ts LIST` keeps the kernel equal to the list until it is told to stop; SIGHUP reads it again.
 */
import { readFile } from 'node:fs/promises';
import { Subject, concatMap, startWith } from 'rxjs';
import { parse } from 'yaml';
import { project } from 'kube-router-sdk/informers';
import { compile, createIpvsTarget } from 'kube-router-sdk/ipvs';
import { createRunner, reconcile } from 'kube-router-sdk/kernel';

interface Entry {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol?: 'TCP' | 'UDP';
  readonly scheduler?: string;
  readonly servers: readonly string[];
}

const objectsOf = ({ name, address, port, protocol = 'TCP', scheduler = 'rr', servers }: Entry) => ({
  service: project('Service', {
    metadata: { name, namespace: 'list', annotations: { 'kube-router.io/service.scheduler': scheduler } },
    spec: { type: 'ClusterIP', clusterIP: address, clusterIPs: [address], ports: [{ name: 'main', port, protocol }] },
  }),
  slices: servers.map((server, n) => {
    const [host = '', serverPort = ''] = server.split(':');
    return project('EndpointSlice', {
      metadata: { name: `${name}-${n}`, namespace: 'list', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'main', port: Number(serverPort), protocol }],
      endpoints: [{ addresses: [host], conditions: { ready: true } }],
    });
  }),
});

const file = process.argv[2] ?? 'services.yaml';
const again$ = new Subject<void>();
process.on('SIGHUP', () => again$.next());

const desired$ = again$.pipe(
  startWith(undefined),
  concatMap(async () => {
    const made = (parse(await readFile(file, 'utf8')) as Entry[]).map(objectsOf);
    const state = compile({
      node: { name: 'here', primary: { 4: '192.0.2.1' } },
      services: made.flatMap(({ service }) => service.object ?? []),
      endpointSlices: made.flatMap(({ slices }) => slices.flatMap(({ object }) => object ?? [])),
      permitAll: false,
    });
    for (const { object, field, reason } of state.issues) console.log(`${object} ${field}: ${reason}`);
    return { state, synced: true };
  }),
);

await using target = createIpvsTarget({ runner: createRunner(), families: [4] });
await using loop = reconcile(desired$, target);
loop.events$.subscribe(({ reason, changes, remaining, failures }) => {
  console.log(`${reason}: ${changes} changes, ${remaining} left`);
  for (const { item, error } of failures) console.log(`${item}: ${error.message}`);
});
await new Promise((resolve) => process.once('SIGTERM', resolve));

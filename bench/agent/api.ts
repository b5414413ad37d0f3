/**
 * The API of a large cluster as a process of its own: `api.ts ADDRESS PORT SERVICES PODS-PER-SERVICE`. One pod in fifty is
 * on node-1, where the agent under measurement runs.
 */
import { NODES, nodeAddress, podRange } from './cluster.ts';
import { createApiServer } from '../../src/testing/index.ts';
import { buildEndpointSlice, buildNamespace, buildNode, buildPod, buildService } from '../../src/testing/builders.ts';

const [host = '127.0.0.1', port = '6443', services = '5000', each = '2'] = process.argv.slice(2);
const server = await createApiServer({ host, port: Number(port) });
for (let n = 1; n <= NODES; n++) {
  server.apply(buildNode(`node-${n}`, { addresses: [nodeAddress(n)], podCIDRs: [podRange(n)] }));
}
server.apply(buildNamespace('bench'));
let pods = 0;
for (let s = 0; s < Number(services); s++) {
  const endpoints = Array.from({ length: Number(each) }, () => {
    const n = (pods % NODES) + 1;
    const index = Math.floor(pods / NODES);
    const name = `bench/p${pods++}`;
    const address = `10.${128 + n}.${index >> 8}.${index & 255}`;
    server.apply(
      buildPod(name, { node: `node-${n}`, ips: [address], labels: { app: `s${s}` }, ports: [{ containerPort: 8080 }] }),
    );
    return { address, node: `node-${n}`, pod: name };
  });
  const clusterIPs = [`10.96.${s >> 8}.${s & 255}`];
  server.apply(
    buildService(`bench/s${s}`, {
      clusterIPs,
      ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }],
      selector: { app: `s${s}` },
    }),
  );
  server.apply(buildEndpointSlice(`bench/s${s}`, { endpoints, ports: [{ port: 8080 }] }));
}
for (let p = 0; p < 100; p++) {
  server.apply({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: `np${p}`, namespace: 'bench' },
    spec: {
      podSelector: { matchLabels: { app: `s${p * 25}` } },
      policyTypes: ['Ingress'],
      ingress: [{ ports: [{ port: 8080 }] }],
    },
  });
}
console.log(`${services} Services, ${pods} pods at ${host}:${port}`);

/**
 * Turns the state file of the packet harness into a Kubernetes List and prints the name of the node that it is for.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const [state = '', list = ''] = process.argv.slice(2);
const { nodeName, objects } = JSON.parse(readFileSync(state, 'utf8')) as {
  nodeName: string;
  objects: Record<'nodes' | 'namespaces' | 'pods' | 'networkPolicies', unknown[] | undefined>;
};
const items = [objects.nodes, objects.namespaces, objects.pods, objects.networkPolicies].flatMap(
  (group) => group ?? [],
);
writeFileSync(list, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
console.log(nodeName);

/**
 * The least that a program of Node does before it can know what a node needs: `fetch.ts API` reads the lists of the large kinds and
 * parses them, and that is all. What it takes is a floor under the start of any agent on the same machine.
 */
const [api = ''] = process.argv.slice(2);
const counts: number[] = [];
for (const path of ['api/v1/pods', 'api/v1/services', 'apis/discovery.k8s.io/v1/endpointslices']) {
  const { items } = (await (await fetch(`${api}/${path}?resourceVersion=0`)).json()) as { items: unknown[] };
  counts.push(items.length);
}
console.log(counts.join(' '));

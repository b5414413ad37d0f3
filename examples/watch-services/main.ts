/**
 * Services as an Observable: one line whenever a Service's addresses or ready endpoints change.
 * `node main.ts [KUBECONFIG]`; reconnects by itself, and what it knows survives an API server that is away.
 */
import { combineLatest, debounceTime, map, pairwise, startWith } from 'rxjs';
import { createApiSource, createInformers, createKubeConfigConnection } from 'kube-router-sdk/informers';

const [path] = process.argv.slice(2);
const connection = await createKubeConfigConnection(path === undefined ? {} : { file: path });
await using informers = createInformers({
  source: createApiSource({ connection }),
  kinds: ['Service', 'EndpointSlice'],
});

const lines$ = combineLatest([informers.services.snapshot$, informers.endpointSlices.snapshot$]).pipe(
  debounceTime(50),
  map(([services, slices]) => {
    const ready = new Map<string, number>();
    for (const slice of slices.items.values()) {
      const key = `${slice.namespace}/${slice.service}`;
      const count = slice.endpoints.filter((endpoint) => endpoint.ready).length;
      ready.set(key, (ready.get(key) ?? 0) + count);
    }
    return new Map(
      [...services.items].map(([key, { clusterIPs }]) => [
        key,
        `${clusterIPs.join(', ')}, ${ready.get(key) ?? 0} ready`,
      ]),
    );
  }),
);
lines$.pipe(startWith(new Map<string, string>()), pairwise()).subscribe(([before, now]) => {
  for (const [key, text] of now) if (before.get(key) !== text) console.log(`${key}: ${text}`);
  for (const key of before.keys()) if (!now.has(key)) console.log(`${key}: gone`);
});
informers.states$.subscribe((states) => {
  for (const [kind, { phase, reason }] of states) if (reason !== '') console.error(`${kind}: ${phase}, ${reason}`);
});
await new Promise((resolve) => process.once('SIGTERM', resolve));

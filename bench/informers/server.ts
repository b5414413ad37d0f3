/**
 * The server's side of the benchmark, in a process of its own: so many pods, and changes at a steady rate when told to.
 */
import { createApiServer } from '../../src/testing/api-server/server.ts';
import { benchPod, preciseNow } from './pods.ts';

const count = Number(process.argv[2]);
const server = await createApiServer();
for (let index = 0; index < count; index++) server.apply(benchPod(index, 0));
// Their texts are made once, before anyone is measured.
const bytes = server.list('Pod').reduce((sum, one) => sum + JSON.stringify(one).length, 0);
await (await fetch(`${server.url}/api/v1/pods`)).body?.pipeTo(new WritableStream());
process.send?.({ url: server.url, bytesEach: Math.round(bytes / count) });

process.on('message', (order: { rate: number; seconds: number } | 'end') => {
  if (order === 'end') process.exit(0);
  const startedAt = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const elapsed = (performance.now() - startedAt) / 1000;
    const due = Math.min(order.seconds, elapsed) * order.rate;
    for (; sent < due; sent++) server.apply(benchPod(sent % count, preciseNow()));
    if (elapsed < order.seconds) return;
    clearInterval(timer);
    process.send?.({ sent });
  }, 5);
});

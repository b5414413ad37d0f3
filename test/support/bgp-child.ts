/**
 * A speaker in a process of its own, so that its memory and its event loop can be watched from outside.
 * Takes its options as JSON, prints `listening PORT`, then once a second `block MS`: the longest that the loop stood still.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createSpeaker } from '../../src/bgp/index.ts';
import type { SpeakerOptions } from '../../src/bgp/index.ts';

process.removeAllListeners('warning');
const options = JSON.parse(process.argv[2] ?? '{}') as SpeakerOptions;
const speaker = await createSpeaker(options);
speaker.events$.subscribe(({ type, peer, reason }) => {
  if (type === 'up' || type === 'down') process.stdout.write(`${type} ${peer} ${reason}\n`);
});
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
setInterval(() => {
  process.stdout.write(`block ${Math.round(delay.max / 1e6)}\n`);
  delay.reset();
}, 1000);
process.on('SIGTERM', () => {
  void speaker.close().then(() => process.exit(0));
});
process.stdout.write(`listening ${speaker.ports[0]}\n`);

/**
 * A speaker in a process of its own, so that its memory and its event loop can be watched from outside.
 * Takes its options as JSON, prints `listening PORT`, sessions that come and go, and, unless a second argument says `unwatched`, once a second `block WALL CPU`: how long the loop
 * stood still at most, in milliseconds on the wall and in milliseconds that its thread worked; the second does not depend on what else
 * the machine does.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createSpeaker } from '../../src/bgp/index.ts';
import type { SpeakerOptions } from '../../src/bgp/index.ts';

process.removeAllListeners('warning');
const options = JSON.parse(process.argv[2] ?? '{}') as SpeakerOptions;
const speaker = await createSpeaker(options);
speaker.events$.subscribe(({ type, peer, reason }) => {
  if (type === 'up' || type === 'down' || type === 'bfd') process.stdout.write(`${type} ${peer} ${reason}\n`);
});
/** Watching costs a few hundred wake-ups a second: not where idleness is measured. */
function watchLoop(): void {
  const delay = monitorEventLoopDelay({ resolution: 2 });
  delay.enable();
  const spent = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let last = spent();
  let longest = 0;
  setInterval(() => {
    const now = spent();
    longest = Math.max(longest, now - last);
    last = now;
  }, 2);
  setInterval(() => {
    process.stdout.write(`block ${Math.round(delay.max / 1e6)} ${Math.round(longest)}\n`);
    delay.reset();
    longest = 0;
  }, 1000);
}
if (process.argv[3] !== 'unwatched') watchLoop();
process.on('SIGTERM', () => {
  void speaker.close().then(() => process.exit(0));
});
process.stdout.write(`listening ${speaker.ports[0]}\n`);

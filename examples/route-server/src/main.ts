/**
 * A BGP speaker from one file of configuration: takes everything in, passes everything on.
 * `node main.js CONFIG.json` stays in the foreground and prints one line, `listening`; SIGTERM and SIGINT say Cease to every peer.
 */
import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { createSpeaker } from 'kube-router-sdk/bgp';
import { parseConfig } from './config.ts';

function refuse(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

/** One line for a failure. */
function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function run(): Promise<void> {
  const [file, ...rest] = process.argv.slice(2);
  if (file === undefined || rest.length > 0) refuse('usage: node main.js CONFIG.json');
  // Node announces experimental features on standard error; ours is for failures.
  process.removeAllListeners('warning');
  // Bursts of routes die young: with more room they never reach the old generation.
  setFlagsFromString('--max-semi-space-size=16');
  let parsed: ReturnType<typeof parseConfig>;
  try {
    parsed = parseConfig(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    refuse(`${file}: ${words(error)}`);
  }
  if ('faults' in parsed) refuse(parsed.faults.map(({ path, reason }) => `${file}: ${path}: ${reason}`).join('\n'));
  const speaker = await createSpeaker(parsed.options).catch((error: unknown) => refuse(`${file}: ${words(error)}`));
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      void speaker.close();
    });
  }
  process.stdout.write('listening\n');
}

await run();

/** `make demo` and `make lab`: boots the guest and runs the demo or the interactive lab in it. */
import { fileURLToPath } from 'node:url';
import { runGuest } from './guest.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const what = process.argv[2] === 'lab' ? 'interactive' : 'demo';
const { isTTY, rows, columns } = process.stdout;
const terminal = isTTY
  ? `FORCE_COLOR=1 LAB_ROWS=${rows} LAB_COLUMNS=${columns} TERM=${/^[\w.+-]+$/.exec(process.env['TERM'] ?? '')?.[0] ?? 'linux'}`
  : '';

const { status, timedOut } = await runGuest({
  command: `umask 022; exec env ${terminal} node_modules/node/bin/node examples/lab/${what}.ts`,
  cwd: root,
  memoryMb: 3072,
  // the demo takes one to two minutes, more where others want the processor; whoever plays with the lab may take all day
  timeoutMs: what === 'demo' ? 600_000 : 24 * 3600_000,
  stdio: what === 'demo' ? 'pipe' : 'inherit',
  onOutput: (text) => process.stdout.write(text),
});
if (timedOut) console.error('The guest was ended: its time was over.');
else if (status === undefined) console.error('The guest died before its command had finished.');
process.exit(status ?? 1);

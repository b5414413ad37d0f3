/** `npm run bench -- BLOCK [ARGUMENTS]`: runs bench/BLOCK/run.ts on the bundled Node; without a block, lists them. */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const blocks = globSync('*/run.ts', { cwd: folder }).map(dirname).sort();
const [block = '', ...args] = process.argv.slice(2);
if (!blocks.includes(block)) {
  console.error(`usage: npm run bench -- ${blocks.join('|')} [arguments]`);
  process.exit(2);
}
const { status } = spawnSync(process.execPath, [join(folder, block, 'run.ts'), ...args], { stdio: 'inherit' });
process.exit(status ?? 1);

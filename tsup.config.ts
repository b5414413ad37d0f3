// Bundles each public subpath into one ESM file; shared code goes into chunks, so that state and classes exist once.
// Declarations come from `tsc -p tsconfig.build.json`.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'tsup';

const subpaths = ['net', 'kernel', 'informers', 'bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'testing'];

const inModules = (path: string): string => fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));

export default defineConfig({
  entry: Object.fromEntries([
    ['index', 'src/index.ts'],
    // Runs in a thread of its own, so it is a file of its own.
    ['bgp/bfd-worker', 'src/bgp/bfd/worker.ts'],
    ...subpaths.map((name) => [`${name}/index`, `src/${name}/index.ts`]),
  ]),
  // rxjs is a peer for its types; the few functions of it that we use are carried along (ADR 10), and so is what reads YAML:
  // left to Node's resolution it is 72 files, half of what importing the root costs
  noExternal: ['rxjs', 'yaml'],
  esbuildOptions(options) {
    // its modules, not the CommonJS that Node would be given: what is not used is left out
    options.alias = { rxjs: inModules('rxjs/dist/esm/index.js'), yaml: inModules('yaml/browser/dist/index.js') };
  },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  splitting: true,
  sourcemap: false,
  clean: true,
  dts: false,
});

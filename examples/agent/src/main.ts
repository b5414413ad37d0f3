#!/usr/bin/env node
// The entry. It says in one line when Node is too old, before anything that would not parse or load there is imported.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `kube-router-agent: Node ${process.versions.node} is too old; 22.19 or newer is needed (node_modules/node/bin/node is bundled)\n`,
  );
  process.exit(2);
}

const { becomeLean } = await import('./lean.ts');
becomeLean(process.argv.slice(2));
const { main } = await import('./cli.ts');
// Standard output and error are written synchronously to files and pipes on Linux: nothing is lost by an exit here.
process.exit(await main(process.argv.slice(2), process.env));

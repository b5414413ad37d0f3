/** The test API server as a process: `agent-api.guest.ts ADDRESS PORT FILE`, loaded from a file of YAML documents; runs until it is killed. */
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import { createApiServer } from '../../src/testing/index.ts';

const [host = '127.0.0.1', port = '6443', file = ''] = process.argv.slice(2);
const server = await createApiServer({ host, port: Number(port) });
for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) server.apply(document.toJS() as never);
console.log(`listening on ${host}:${port}`);

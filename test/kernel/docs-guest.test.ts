/** Examples and guides against real daemons and a kernel with IPVS: what each page of documentation says is what happens. */
import { describeBlocks } from '../support/doc-suite.ts';

describeBlocks('guest', 400_000);

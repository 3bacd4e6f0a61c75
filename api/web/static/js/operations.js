// Operations: the page follows the samples of whoever looks at the readers of the log.

import { follow } from "./live.js";

follow();

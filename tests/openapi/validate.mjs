// Checks the API's description with a validator that is not ours: node validate.mjs < openapi.json
import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';

const specification = JSON.parse(readFileSync(0, 'utf8'));
const result = await new Validator().validate(specification);

if (!result.valid) {
	console.error(JSON.stringify(result.errors, null, 2));
	process.exit(1);
}
console.log(`valid OpenAPI ${specification.openapi}: ${Object.keys(specification.paths).length} paths`);

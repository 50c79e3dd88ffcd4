// A real OpenID provider for the tests: keys of its own at each start, any login,
// which it takes for the staff member's id too.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const { ISSUER, REDIRECT, SECRET, CERT, KEY } = process.env;
const { privateKey } = await generateKeyPair("ES256", { extractable: true });
const jwk = { ...(await exportJWK(privateKey)), use: "sig", alg: "ES256", kid: `k-${process.pid}` };

const provider = new Provider(ISSUER, {
  clients: [{ client_id: "azekura", client_secret: SECRET, redirect_uris: [REDIRECT], grant_types: ["authorization_code"],
    response_types: ["code"], id_token_signed_response_alg: "ES256" }],
  jwks: { keys: [jwk] },
  cookies: { keys: [SECRET] },
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ["sub", "staff_id", "auth_time"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, staff_id: id }) }),
});
provider.on("server_error", (_, err) => console.error(err));
createServer({ cert: readFileSync(CERT), key: readFileSync(KEY) }, provider.callback())
  .listen(Number(new URL(ISSUER).port), "127.0.0.1", () => console.log("ready"));
process.stdin.on("end", () => process.exit(0)).resume(); // goes with the test

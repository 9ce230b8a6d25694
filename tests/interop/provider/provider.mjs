// A real OpenID provider for one test. One client gets JWT access tokens by client credentials, signed with the algorithm that the
// resource's name ends in; by another people log in, by code with PKCE, through the provider's own development pages. Prints its
// issuer; ends with its standard input.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const key = (kid, alg, kind, options) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig',
});
const keys = [
  key('rsa', 'RS256', 'rsa', { modulusLength: 2048 }),
  key('ec', 'ES256', 'ec', { namedCurve: 'P-256' }),
  key('ed', 'EdDSA', 'ed25519', {}),
  key('rsa-pss', 'PS256', 'rsa', { modulusLength: 2048 }),
];
const groups = { alice: ['sec-auditors', 'staff'], ada: ['sec-admins'] };
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'sql-report',
      client_secret: process.env.CLIENT_SECRET,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    }, ...(process.env.REDIRECT_URL ? [{
      client_id: 'tacho-browser',
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: [process.env.REDIRECT_URL],
      token_endpoint_auth_method: process.env.CLIENT_AUTH ?? 'client_secret_basic',
      id_token_signed_response_alg: 'ES256',
    }] : [])],
    // Every account is there; what it may do, its groups say.
    findAccount: (_, id) => ({
      accountId: id, claims: () => ({ sub: id, groups: groups[id] ?? ['staff'], org: 'acme' }),
    }),
    scopes: ['openid', 'groups'],
    claims: { openid: ['sub'], groups: ['groups', 'org'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    jwks: { keys },
    features: {
      devInteractions: { enabled: Boolean(process.env.REDIRECT_URL) },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: '',
          audience: new URL(resource).hostname,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: resource.split('/').pop() } },
        }),
      },
    },
    extraTokenClaims: () => ({ groups: ['sec-auditors'], org: 'acme' }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
// Whoever started it reads the issuer and no more.
process.stdout.on('error', () => {});
process.stdin.on('end', () => process.exit(0)).resume();

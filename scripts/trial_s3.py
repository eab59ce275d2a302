"""Create a bucket on a newly started moto server, and a key that every client needs from then on.

usage: trial_s3.py URL BUCKET

Prints the variables that a client needs, as lines of an environment file.
"""

import json
import sys
import urllib.request

import boto3


def main(url: str, bucket: str) -> None:
    """Create the bucket and the key, and make the server require a key from now on."""
    anybody = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **anybody).create_bucket(Bucket=bucket)
    iam = boto3.client("iam", endpoint_url=url, **anybody)
    iam.create_user(UserName="team")
    rights = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="team", PolicyName="team", PolicyDocument=json.dumps(rights))
    key = iam.create_access_key(UserName="team")["AccessKey"]
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)).close()
    sys.stdout.write(f"AWS_ENDPOINT_URL={url}\nAWS_DEFAULT_REGION=us-east-1\n")
    sys.stdout.write(f"AWS_ACCESS_KEY_ID={key['AccessKeyId']}\nAWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

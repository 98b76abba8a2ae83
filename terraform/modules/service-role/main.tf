# The role that the service runs under. What it may change is bounded three times: by the tag that every instance
# carries from birth, by the templates, subnets and security groups named here, and by the target groups named here.
#
# The policy is written with jsonencode rather than as a policy-document data source, because `terraform test` with a
# mocked provider sees through the first and not through the second.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.name
  ec2       = "arn:${local.partition}:ec2:${local.region}:${local.account}"

  templates = [for id in var.launch_template_ids : "${local.ec2}:launch-template/${id}"]

  # A launch that brings no template of ours is refused, whatever else it brings.
  from_template = { ArnEquals = { "ec2:LaunchTemplate" = local.templates } }

  observe = {
    Sid    = "Observe"
    Effect = "Allow"
    Action = [
      "ec2:DescribeInstances",
      "ec2:DescribeLaunchTemplateVersions",
      "ec2:DescribeSubnets",
      "elasticloadbalancing:DescribeTargetGroupAttributes",
      "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    # None of these actions can be limited to resources.
    Resource = "*"
  }

  launch = [
    {
      Sid      = "LaunchOnlyTaggedInstances"
      Effect   = "Allow"
      Action   = "ec2:RunInstances"
      Resource = "${local.ec2}:instance/*"
      Condition = merge(local.from_template, {
        StringEquals = {
          "aws:RequestTag/fleet-scaler:owner" = var.owner
          "ec2:MetadataHttpTokens"            = "required"
        }
        # An instance without these could not be found again after a crash.
        Null = {
          "aws:RequestTag/fleet-scaler:fleet"  = "false"
          "aws:RequestTag/fleet-scaler:launch" = "false"
        }
      })
    },
    {
      Sid      = "LaunchWithEncryptedVolumes"
      Effect   = "Allow"
      Action   = "ec2:RunInstances"
      Resource = "${local.ec2}:volume/*"
      Condition = merge(local.from_template, {
        Bool = { "ec2:Encrypted" = "true" }
      })
    },
    {
      Sid      = "LaunchTheTemplatesImage"
      Effect   = "Allow"
      Action   = "ec2:RunInstances"
      Resource = "arn:${local.partition}:ec2:${local.region}::image/*"
      # The image is the template's own: the call cannot bring another.
      Condition = merge(local.from_template, {
        Bool = { "ec2:IsLaunchTemplateResource" = "true" }
      })
    },
    {
      Sid    = "LaunchIntoTheseNetworks"
      Effect = "Allow"
      Action = "ec2:RunInstances"
      Resource = concat(
        [for id in var.subnet_ids : "${local.ec2}:subnet/${id}"],
        [for id in var.security_group_ids : "${local.ec2}:security-group/${id}"],
        ["${local.ec2}:network-interface/*"],
      )
      Condition = local.from_template
    },
    {
      Sid      = "LaunchFromTheseTemplates"
      Effect   = "Allow"
      Action   = "ec2:RunInstances"
      Resource = local.templates
    },
    {
      Sid    = "TagOnlyAtBirth"
      Effect = "Allow"
      Action = "ec2:CreateTags"
      Resource = [
        "${local.ec2}:instance/*",
        "${local.ec2}:network-interface/*",
        "${local.ec2}:volume/*",
      ]
      Condition = {
        StringEquals = {
          "aws:RequestTag/fleet-scaler:owner" = var.owner
          "ec2:CreateAction"                  = "RunInstances"
        }
      }
    },
  ]

  spot = [for _ in var.allow_spot ? [1] : [] : {
    Sid      = "LaunchOnTheSpotMarket"
    Effect   = "Allow"
    Action   = "ec2:RunInstances"
    Resource = "${local.ec2}:spot-instances-request/*"
  }]

  terminate = {
    Sid      = "TerminateOnlyOwned"
    Effect   = "Allow"
    Action   = "ec2:TerminateInstances"
    Resource = "${local.ec2}:instance/*"
    Condition = {
      StringEquals = { "aws:ResourceTag/fleet-scaler:owner" = var.owner }
    }
  }

  balance = [for arns in length(var.target_group_arns) > 0 ? [var.target_group_arns] : [] : {
    Sid    = "RegisterWithTheseTargetGroups"
    Effect = "Allow"
    Action = [
      "elasticloadbalancing:DeregisterTargets",
      "elasticloadbalancing:RegisterTargets",
    ]
    Resource = arns
  }]

  pass = [for arns in length(var.host_role_arns) > 0 ? [var.host_role_arns] : [] : {
    Sid       = "PassTheHostsRole"
    Effect    = "Allow"
    Action    = "iam:PassRole"
    Resource  = arns
    Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
  }]

  # RunInstances uses the caller's right to the key: through EC2 and nothing else, and for AWS's own resources only.
  keys = flatten([for arns in length(var.kms_key_arns) > 0 ? [var.kms_key_arns] : [] : [
    {
      Sid    = "UseTheVolumesKeys"
      Effect = "Allow"
      Action = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
      Resource  = arns
      Condition = { StringEquals = { "kms:ViaService" = "ec2.${local.region}.amazonaws.com" } }
    },
    {
      Sid      = "GrantTheVolumesKeys"
      Effect   = "Allow"
      Action   = "kms:CreateGrant"
      Resource = arns
      Condition = {
        Bool         = { "kms:GrantIsForAWSResource" = "true" }
        StringEquals = { "kms:ViaService" = "ec2.${local.region}.amazonaws.com" }
      }
    },
  ]])

  on_ec2 = var.assume_role_policy == null
  trust_ec2 = {
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  }
}

resource "aws_iam_role" "service" {
  name                 = var.name
  description          = "Fleet Scaler, owner ${var.owner}"
  assume_role_policy   = local.on_ec2 ? jsonencode(local.trust_ec2) : var.assume_role_policy
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_policy" "service" {
  name        = var.name
  description = "What Fleet Scaler, owner ${var.owner}, may see and change"
  tags        = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [local.observe], local.launch, local.spot, [local.terminate], local.balance, local.pass, local.keys,
    )
  })
}

resource "aws_iam_role_policy_attachment" "service" {
  role       = aws_iam_role.service.name
  policy_arn = aws_iam_policy.service.arn
}

resource "aws_iam_instance_profile" "service" {
  count = local.on_ec2 ? 1 : 0
  name  = var.name
  role  = aws_iam_role.service.name
  tags  = var.tags
}
